"""A deploy folder as BitBake leaves one: files with a time in their names, and links without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from harness.builders.debian import tools
from harness.builders.yocto import adopt
from harness.process import run
from harness.product import release as releases
from harness.product.release import Release
from tests.unit.builders import bundles

MIB = 1 << 20
SLOT = bytes(4096) + os.urandom(300_000) + bytes(60_000)
STEM = "gateway-image-box.rootfs"
BUILT = "20261127223040"
DEVICE = {"version": "cat /v", "install": "get {url}", "well": "true", "data": "/srv"}
PROFILE: dict[str, Any] = {
    "machine": "box",
    "compatible": "box-1",
    "client": "rauc",
    "disk": {
        "slot-A": {"partition": 2},
        "slot-B": {"partition": 3},
        "data": {"partition": 4},
        "boot-selection": {"bytes": [524288, 512]},
        "boot-selection-2": {"bytes": [786432, 512]},
    },
    "boot_selection": {"reader": "grub"},
}
MANIFEST = "[update]\ncompatible=box-1\nversion=1\n\n[image.rootfs]\nfilename=rootfs.img\n"
TOLD = {
    "MACHINE": "box",
    "DISTRO": "gateway",
    "DISTRO_VERSION": "1.1.0",
    "IMAGE_BASENAME": "gateway-image",
    "IMAGE_LINK_NAME": STEM,
    "IMAGE_NAME": f"{STEM}-{BUILT}",
    "REPRODUCIBLE_TIMESTAMP_ROOTFS": "1700000000",
    "SOURCE_DATE_EPOCH": "1302044400",
    "BB_SOMETHING": ["not", "a", "text"],
}


class DeployFolder:
    """Well formed, until a test changes it."""

    def __init__(self, folder: Path, *, client: str = "rauc") -> None:
        self.folder, self.client = folder / "deploy", client
        self.folder.mkdir(parents=True)
        self.product = folder / "product.yaml"
        self.profile(client=client)
        self.tell()
        self.put("squashfs", SLOT)
        self.put("manifest", b"busybox core2-32 1.37.0\n")
        self.put("spdx.json", b"{}")
        self.disk(SLOT)
        self.artifact(SLOT)

    def profile(self, **changes: object) -> None:
        self.product.write_text(yaml.safe_dump({**PROFILE, **changes}))

    def path(self, ending: str) -> Path:
        """The file itself, not the link to it."""
        return self.folder / f"{STEM}-{BUILT}.{ending}"

    def put(self, ending: str, content: bytes, *, stem: str = STEM) -> Path:
        """A file of the image, and the link to it."""
        path = self.folder / f"{stem}-{BUILT}.{ending}"
        path.write_bytes(content)
        link = self.folder / f"{stem}.{ending}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        return path

    def tell(self, *, stem: str = STEM, **changes: object) -> None:
        self.put("testdata.json", json.dumps({**TOLD, **changes}).encode(), stem=stem)

    def disk(self, slot: bytes) -> None:
        """An MBR disk of 16 MiB; slots begin at 1 MiB and 4 MiB."""
        content = bytearray(16 * MIB)
        content[MIB : MIB + len(slot)] = slot
        path = self.put("wic", bytes(content))
        table = "label: dos\n1023 1024 da\n2048 6144 83\n8192 6144 83\n14336 16384 83\n"
        table = table.replace("1023 1024 da", "start=1023, size=1024, type=da")
        for start, size in ((2048, 6144), (8192, 6144), (14336, 16384)):
            table = table.replace(f"{start} {size} 83", f"start={start}, size={size}, type=83")
        run(["sfdisk", "--quiet", "--no-reread", path], timeout=30, stdin=table)
        self.block_map()

    def block_map(self) -> None:
        target = self.put("wic.bmap", b"")
        run(["bmaptool", "create", "-o", target, self.path("wic")], timeout=30)

    def artifact(self, slot: bytes, manifest: str = MANIFEST) -> None:
        if self.client == "rauc":
            content = bundles.rauc(slot, manifest)
            self.put("raucb", content, stem="gateway-bundle-box")
        else:
            self.put("mender", bundles.mender(slot))

    def adopt(self, name: str = "out", **words: Any) -> Release:
        wanted = adopt.Wanted(product=self.product, **words)
        return adopt.adopt(self.folder, wanted, output=self.folder.parent / name)


def lay_out(release: Release, folder: Path) -> Path:
    """A release of the Debian builder as BitBake would have left it: the same bytes under Yocto's
    names, and nothing of what release.json says but MACHINE and version."""
    stem = f"gateway-image-{release.machine}.rootfs"
    mender = release.product.client == "mender"
    folder.mkdir(parents=True)
    names = {"IMAGE_LINK_NAME": stem, "IMAGE_NAME": f"{stem}-{BUILT}", "MACHINE": release.machine}
    told = {**TOLD, **names, "DISTRO_VERSION": release.version}
    told["REPRODUCIBLE_TIMESTAMP_ROOTFS"] = str(
        release.source_date_epoch or TOLD["SOURCE_DATE_EPOCH"]
    )
    (folder / f"{stem}-{BUILT}.testdata.json").write_text(json.dumps(told))
    slot = subprocess.run(["file", "-b", release.slot_image], check=True, capture_output=True)
    kind = "squashfs" if slot.stdout.startswith(b"Squashfs") else "ext4"
    # As wic and meta-mender call it; a bundle is a recipe of its own.
    disk, artifact = (
        ("sdimg", f"{stem}-{BUILT}") if mender else ("wic", f"bundle-{release.machine}")
    )
    parts = {disk: release.disk_image, kind: release.slot_image}
    for ending, path in {**parts, "manifest": release.folder / "packages.txt"}.items():
        if path.exists():
            tools.copy(path, folder / f"{stem}-{BUILT}.{ending}")
    manifest = folder / f"{stem}-{BUILT}.manifest"
    if not manifest.exists():
        manifest.write_text("rootfs all 1\n")
    tools.copy(release.artifact, folder / f"{artifact}{release.artifact.suffix}")
    for path in list(folder.glob(f"{stem}-{BUILT}.*")):
        (folder / path.name.replace(f"-{BUILT}", "")).symlink_to(path.name)
    block_map = folder / f"{stem}.{disk}.bmap"
    run(["bmaptool", "create", "-o", block_map, folder / f"{stem}.{disk}"], timeout=120)
    return folder


if __name__ == "__main__":  # for `./run nightly`: RELEASE FOLDER
    lay_out(releases.load(Path(sys.argv[1])), Path(sys.argv[2]))
