"""A small machine that needs no network: a base tar of a few files, a recipe of a few lines."""

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

KERNEL = "6.1.0-test"


def built(recipe: str = "images/small") -> dict[str, Any]:
    """What a release says of how it was made, when it was not made at all."""
    return {
        "builder": "debian",
        "recipe": recipe,
        "inputs": "0" * 64,
        "base": "0" * 64,
        "suites": ["bookworm"],
        "sources": {recipe: "0" * 64},
        "signing": "development",
        "source_date_epoch": 1,
    }


def content(**changes: Any) -> dict[str, Any]:
    """A complete recipe; `changes` replace top-level keys, None removes one."""
    recipe: dict[str, Any] = {
        "machine": "small",
        "compatible": "small",
        "client": "rauc",
        "bootloader": "grub",
        "base": {"suite": "bookworm", "architecture": "i386", "packages": ["linux-image-686"]},
        "kernel": {"modules": ["three"], "initramfs": ["three speed=9"]},
        "disk": {
            "signature": "0badcafe",
            "slot_size": "1M",
            "data_size": "8M",
            "compression": "gzip",
        },
        "login": {"root_password_hash": "$6$x$y"},
        "health": {"services": ["agent.service"]},
        "overlay": "overlay",
        "boot": "boot",
        "initramfs": "initramfs",
        "enable": ["agent.service"],
        "mask": ["noise.service"],
        "variants": {"broken": {"overlay": "broken"}, "without": {"remove": ["/usr/bin/busybox2"]}},
    }
    recipe.update(changes)
    return {key: value for key, value in recipe.items() if value is not None}


def recipe_folder(folder: Path, **changes: Any) -> Path:
    """A recipe with all the files it names."""
    files = {
        "overlay/etc/fstab": "PARTUUID=@SIGNATURE@-04 /data ext4\n",
        "overlay/etc/rauc/system.conf": "compatible=@COMPATIBLE@\n",
        "overlay/etc/systemd/system/agent.service": "[Install]\nWantedBy=multi-user.target\n",
        "boot/grub.cfg": "linux root=PARTUUID=@SIGNATURE@-02\n",
        "initramfs/init": "#!/bin/sh\n",
        "broken/etc/broken": "yes\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "initramfs/init").chmod(0o755)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content(**changes)), encoding="utf-8")
    return folder


def base_tar(path: Path) -> Path:
    """What mmdebstrap leaves, in miniature: a kernel, three modules, busybox, a few files."""
    modules = f"usr/lib/modules/{KERNEL}"
    files = {
        f"boot/vmlinuz-{KERNEL}": b"kernel",
        f"usr/lib/linux-image-{KERNEL}/vendor/board.dtb": b"devicetree",
        "usr/lib/firmware-of-the-board/start.elf": b"firmware",
        f"{modules}/kernel/one.ko": b"one",
        f"{modules}/kernel/two.ko": b"two",
        f"{modules}/kernel/three.ko": b"three",
        f"{modules}/modules.dep": b"kernel/one.ko:\nkernel/two.ko: kernel/one.ko\n"
        b"kernel/three.ko: kernel/two.ko kernel/one.ko\n",
        f"{modules}/modules.builtin": b"kernel/fs/built-in-fs.ko\n",
        f"{modules}/modules.order": b"",
        "usr/bin/busybox": b"\x7fELF" + b"b" * 5000,
        "usr/bin/busybox2": b"unwanted",
        "etc/shadow": b"root:*:1:::::::\ndaemon:*:1:::::::\n",
        "var/lib/dpkg/status": b"Package: bash\nVersion: 5\n",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in sorted({str(p) for file in files for p in PurePosixPath(file).parents}):
            folder = tarfile.TarInfo(f"./{name}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, data in files.items():
            header = tarfile.TarInfo("./" + name)
            header.size, header.mtime = len(data), 1_800_000_000
            tar.addfile(header, io.BytesIO(data))
        for name, target in (("lib", "usr/lib"), ("bin", "usr/bin")):
            link = tarfile.TarInfo("./" + name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return path
