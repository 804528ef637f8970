"""A whole build of a small machine: real tools, no network, its base is in the cache already."""

import gzip
import json
import os
import shutil
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness import process
from harness.builders.debian import build as builder
from harness.builders.debian import pki, recipe
from harness.builders.debian.build import build
from harness.builders.debian.builder import again, artifact, misdirected_artifact, strange_artifact
from harness.errors import BuildError, ConfigurationError
from harness.product import release
from harness.product.layout import KEEP
from harness.product.promises import Promises
from tests.unit.builders import samples


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose base is cached already."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    folder = samples.recipe_folder(tmp_path / "recipe")
    _cache_base(folder)
    return folder


def _cache_base(folder: Path) -> None:
    target = builder.base_path(recipe.load(folder).base)
    samples.base_tar(target)
    target.with_suffix(".packages.txt").write_text("bash 5\n", encoding="utf-8")
    about = {"suites": ["bookworm"], "sha256": release.digest(target).sha256}
    target.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


def _unpacked(image: Path, folder: Path) -> Path:
    process.run(["unsquashfs", "-no-xattrs", "-d", folder, image], timeout=60)
    return folder


def test_a_release_is_complete(small: Path, tmp_path: Path) -> None:
    made = build(small, version="1.0.0")
    made.verify()
    assert release.load(made.folder) == made
    disk = made.disk_image.read_bytes()
    for name in ("slot-A", "slot-B"):
        region = made.layout[name]
        assert disk[region.offset : region.offset + made.slot.size] == made.slot_image.read_bytes()
    assert disk[440:444] == bytes.fromhex("0badcafe")[::-1]
    assert disk[524288:524312] == disk[786432:786456] == b"# GRUB Environment Block"
    assert disk[1080 + made.layout["data"].offset :][:2] == b"\x53\xef"  # ext4's magic
    end = made.layout["data"].offset + made.layout["data"].length + KEEP  # where its partition ends
    assert len(disk) == end == 512 * sum(struct.unpack_from("<II", disk, 446 + 3 * 16 + 8))
    assert made.layout["keep-1"].offset == end - KEEP
    root = _unpacked(made.slot_image, tmp_path / "root")
    assert (root / "etc/gateway-release").read_text() == "VERSION=1.0.0\nMACHINE=small\nVARIANT=\n"
    assert (root / "etc/fstab").read_text() == "PARTUUID=0badcafe-04 /data ext4\n"
    assert (root / "boot/vmlinuz").read_bytes() == b"kernel"
    assert (root / "etc/systemd/system/multi-user.target.wants/agent.service").is_symlink()
    assert (root / "etc/systemd/system/noise.service").readlink() == Path("/dev/null")
    shadow = (root / "etc/shadow").read_text()
    assert shadow.splitlines()[0].startswith("root:$6$x$y:")
    key = pki.ssh_key().with_suffix(".pub").read_text()
    assert (root / "root/.ssh/authorized_keys").read_text() == key


def test_modules_with_their_dependencies_and_no_others(small: Path, tmp_path: Path) -> None:
    root = _unpacked(build(small, version="1.0.0").slot_image, tmp_path / "root")
    kept = {path.name for path in root.rglob("*.ko")}
    assert kept == {"one.ko", "two.ko", "three.ko"}
    initramfs = tmp_path / "initramfs"
    initramfs.mkdir()
    unpack = 'zcat "$1" | cpio -id --quiet'
    image = root / "boot/initrd.img"
    process.run(["sh", "-c", unpack, "sh", image], timeout=30, cwd=initramfs)
    order = (initramfs / "modules/order").read_text().splitlines()
    assert order == ["one.ko", "two.ko", "three.ko speed=9"]
    assert (initramfs / "bin/sh").readlink() == Path("busybox")


def test_same_inputs_same_slot(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice, from scratch, in different folders: the slot is the same to the last bit."""
    first = build(small, version="1.0.0")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "elsewhere"))
    _cache_base(small)
    second = build(small, version="1.0.0")
    assert second.folder != first.folder
    assert second.slot == first.slot
    assert second.built["inputs"] == first.built["inputs"]
    assert second.files["disk.img"] == first.files["disk.img"]


def test_cached_by_inputs(small: Path) -> None:
    first = build(small, version="1.0.0")
    stamp = first.slot_image.stat().st_mtime_ns
    assert build(small, version="1.0.0").slot_image.stat().st_mtime_ns == stamp
    (small / "overlay/etc/new").write_text("more", encoding="utf-8")
    assert build(small, version="1.0.0").slot != first.slot


def test_the_cache_forgets_what_nobody_asks_for(small: Path) -> None:
    unused = build(small, version="1.0.0").folder
    used = build(small, version="1.0.1").folder
    for folder in (unused, used):
        os.utime(folder, (0, 0))
    build(small, version="1.0.1")
    assert unused.is_dir()  # nothing was made: nothing has to go
    build(small, version="1.0.2")
    assert used.is_dir()
    assert not unused.exists()


def test_a_links_target_is_an_input(small: Path) -> None:
    """Not what this host has there, nor whether it has anything."""
    link = small / "overlay/etc/linked"
    slots = set()
    for target in ("/nowhere", "/nowhere-else", __file__):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        slots.add(build(small, version="1.0.0").slot.sha256)
    link.unlink()
    link.write_bytes(Path(__file__).read_bytes())
    slots.add(build(small, version="1.0.0").slot.sha256)
    assert len(slots) == 4


def test_variants_change_the_slot(small: Path, tmp_path: Path) -> None:
    made = build(small, version="1.0.0", variants=["broken", "without"])
    root = _unpacked(made.slot_image, tmp_path / "root")
    assert (root / "etc/broken").is_file()
    assert not (root / "usr/bin/busybox2").exists()
    assert "VARIANT=broken,without" in (root / "etc/gateway-release").read_text()
    assert made.variants == ("broken", "without")


def test_output_is_a_copy(small: Path, tmp_path: Path) -> None:
    made = build(small, version="1.0.0", output=tmp_path / "out")
    assert made.folder == tmp_path / "out"
    made.verify()
    again = build(small, version="1.1.0", output=tmp_path / "out")
    assert again.version == "1.1.0"
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigurationError, match="not a release"):
        build(small, version="1.0.0", output=tmp_path / "mine")


def test_output_replaces_only_what_a_build_has_made(small: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "out.partial"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    build(small, version="1.0.0", output=out)
    assert (mine / "thesis.txt").read_text() == "mine"
    (out / "notes.txt").write_text("mine, too")
    with pytest.raises(ConfigurationError, match=r"notes.txt is no part of the release"):
        build(small, version="1.1.0", output=out)
    assert (out / "notes.txt").read_text() == "mine, too"
    (out / "notes.txt").unlink()
    link = tmp_path / "link"
    link.symlink_to("out")
    assert build(small, version="1.1.0", output=link).version == "1.1.0"
    assert (link.is_symlink(), release.load(out).version) == (True, "1.1.0")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".harness")] == []


def _changed(folder: Path, kind: str) -> None:
    """Have somebody work in a release folder."""
    file = folder / ("release.json" if kind == "link to release.json" else "packages.txt")
    mine = folder.parent / "mine.txt"
    mine.write_bytes(file.read_bytes())
    if kind == "content":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
        return
    file.unlink()
    if kind.startswith("link"):
        file.symlink_to(mine)
    elif kind == "folder":
        file.mkdir()
        (file / "thesis.txt").write_text("mine")
    elif kind == "FIFO":
        os.mkfifo(file)


def test_output_replaces_only_what_is_as_it_was_built(small: Path, tmp_path: Path) -> None:
    """Names alone say little: a user's folder can have one of them, and files can be edited."""
    made = build(small, version="1.0.0", output=tmp_path / "out")
    for kind in ("content", "folder", "FIFO", "link", "link to release.json", "missing"):
        out = tmp_path / kind / "out"
        shutil.copytree(made.folder, out)
        _changed(out, kind)
        before = {path: path.lstat().st_ino for path in out.rglob("*")}
        with pytest.raises(ConfigurationError, match="not a release as it was built") as refused:
            build(small, version="1.0.0", output=out)
        assert ("release.json" if "json" in kind else "packages.txt") in str(refused.value)
        assert {path: path.lstat().st_ino for path in out.rglob("*")} == before
    assert (tmp_path / "folder/out/packages.txt/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("content", ["{}", "not JSON"])
def test_a_file_called_release_json_makes_no_release(
    small: Path, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "release.json").write_text(content)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists and is not a release"):
        build(small, version="1.0.0", output=out)
    assert (out / "thesis.txt").read_text() == "mine"


def test_a_damaged_release_in_the_cache_is_built_again(small: Path) -> None:
    made = build(small, version="1.0.0")
    (made.folder / "release.json").write_text("{")
    again = build(small, version="1.0.0")
    assert (again.slot, again.files["disk.img"]) == (made.slot, made.files["disk.img"])
    assert release.load(again.folder) == again  # its artifact was signed anew


def test_a_key_that_others_can_change_signs_nothing(small: Path) -> None:
    pki.development().key.chmod(0o666)
    with pytest.raises(ConfigurationError, match="others can change"):
        build(small, version="1.0.0")


def test_slot_too_small(small: Path) -> None:
    (small / "overlay/etc/big").write_bytes(os.urandom(2 << 20))
    with pytest.raises(BuildError, match=r"disk.slot_size: the slot image has \d+ bytes"):
        build(small, version="1.0.0")
    leftovers = [p.name for p in (small.parent / "cache/releases").iterdir() if p.is_dir()]
    assert leftovers == []


@pytest.mark.parametrize(
    "version",
    [
        "1.0 beta",
        "blue",
        "",
        ".1",
        "~1",
        "-1",
        "1-",
        "1.0\n",
        "1:2",
        "1_0",
        "1" * 65,
        "1.0\n[image.x]",
        "rc1",
        ".",
    ],
)
def test_what_cannot_be_ordered_is_not_built(small: Path, version: str) -> None:
    with pytest.raises(ConfigurationError, match="is no version"):
        build(small, version=version)


def test_unknown_module(small: Path) -> None:
    samples.recipe_folder(small, kernel={"modules": ["four"], "initramfs": []})
    with pytest.raises(BuildError, match="no module 'four'"):
        build(small, version="1.0.0")


def test_bundles_are_trusted_by_signer_only(small: Path, tmp_path: Path) -> None:
    made = build(small, version="1.0.0")
    strange = strange_artifact(made, tmp_path / "strange.raucb")
    ours = f"--keyring={pki.development().keyring}"
    assert process.run(["rauc", "info", ours, made.artifact], timeout=30).returncode == 0
    assert process.run(["rauc", "info", ours, strange], timeout=30, check=False).returncode != 0
    theirs = f"--keyring={pki.stranger().keyring}"
    assert process.run(["rauc", "info", theirs, strange], timeout=30).returncode == 0


def test_a_key_that_is_handed_over(small: Path, tmp_path: Path) -> None:
    """Signed by the signer, for devices that have the version before; what follows is signed by the
    successor, whom alone the devices of this version trust. In its place stands what is signed as
    it is."""
    refusing = {"successor": "development", "promises": {"downgrades": "refused"}}
    samples.recipe_folder(small, variants={"rotated": refusing, "broken": {"overlay": "broken"}})
    before = build(small, version="1.0.0")
    made = build(small, version="1.1.0", variants=["rotated"])
    following = again(made, version="1.2.0", variants=["broken"], follows=True)
    instead = again(made, version="1.1.0+broken", variants=["broken"])
    probe = artifact(made, made.slot_image, tmp_path / "probe.raucb", version="2")
    trusted = _unpacked(made.slot_image, tmp_path / "root") / "etc/rauc/keyring.pem"
    first, second = (
        pki.development().keyring,
        pki.trusted(recipe.load(small), recipe.load(small).chosen(["rotated"])),
    )
    assert second and trusted.read_bytes() == second.keyring.read_bytes() != first.read_bytes()
    for keyring, taken, refused in (
        (first, [before.artifact, made.artifact, instead.artifact], [following.artifact, probe]),
        (second.keyring, [following.artifact, probe], [before.artifact, made.artifact]),
    ):
        for each in (*taken, *refused):
            done = process.run(
                ["rauc", "info", f"--keyring={keyring}", each], timeout=30, check=False
            )
            assert (done.returncode == 0) == (each in taken), each
    assert [bool(each.product.successor) for each in (before, made, following)] == [
        False,
        True,
        True,
    ]
    assert made.built["signing"] == following.built["signing"] == "development"


def test_an_update_for_others_is_whole_and_well_signed(small: Path, tmp_path: Path) -> None:
    made = build(small, version="1.0.0")
    other = misdirected_artifact(made, tmp_path / "misdirected.raucb")
    ours = f"--keyring={pki.development().keyring}"
    said = process.run(["rauc", "info", ours, other], timeout=30).stdout
    assert "'small-other'" in said
    assert made.slot.sha256 in said


def test_the_ca_of_the_update_server_is_believed_beside_others(small: Path, tmp_path: Path) -> None:
    (small / "overlay/etc/ssl/certs").mkdir(parents=True)
    (small / "overlay/etc/ssl/certs/ca-certificates.crt").write_text("others\n")
    plain = build(small, version="1.0.0")
    assert plain.product.server_ca == ""
    samples.recipe_folder(small, server_ca="development")
    made = build(small, version="1.0.0")
    root = _unpacked(made.slot_image, tmp_path / "root")
    believed = (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    authority = pki.server_ca(recipe.load(small))
    assert authority
    assert believed == "others\n" + authority.certificate.read_text()
    assert (
        release.load(made.folder).product.server_ca == release.digest(authority.certificate).sha256
    )
    assert authority.key.stat().st_mode & 0o777 == 0o600


def test_what_a_product_promises_is_in_its_releases(small: Path) -> None:
    said: dict[str, Any] = {"attempts": 5, "soak": 400, "health": "repeatedly"}
    variants = {"refusing": {"promises": {"downgrades": "refused", "soak": 0}}}
    samples.recipe_folder(small, promises=said, variants=variants)
    made = build(small, version="1.0.0")
    assert release.load(made.folder).product.promises == Promises(**said)
    assert b"A_left=5" in made.disk_image.read_bytes()[524288:524800]
    other = build(small, version="1.0.0", variants=["refusing"]).product.promises
    assert other == Promises(**{**said, "downgrades": "refused", "soak": 0})


def test_a_promise_that_the_image_breaks_is_told(small: Path) -> None:
    program = small / "overlay/usr/sbin/boot-selection"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nATTEMPTS=3 # a comment\n")
    assert build(small, version="1.0.0").product.promises.attempts == 3
    samples.recipe_folder(small, promises={"attempts": 5})
    with pytest.raises(ConfigurationError) as caught:
        build(small, version="1.0.0")
    assert (
        "promises.attempts: 5, but /usr/sbin/boot-selection has ATTEMPTS=3" in caught.value.details
    )


def test_private_keys_are_private(small: Path) -> None:
    build(small, version="1.0.0")
    for path in (pki.ssh_key(), pki.development().key, pki.stranger().key):
        assert path.stat().st_mode & 0o777 == 0o600


def test_base_tar_is_never_changed(small: Path) -> None:
    target = builder.base_path(recipe.load(small).base)
    before = release.digest(target)
    build(small, version="1.0.0")
    assert release.digest(target) == before
    with tarfile.open(target) as tar:
        assert "./usr/bin/busybox2" in tar.getnames()


def test_later_folders_win(small: Path, tmp_path: Path) -> None:
    """Folders may be shared with other machines; what they hold is an input like any other."""
    shared = small.parent / "shared"
    (shared / "etc").mkdir(parents=True)
    (shared / "etc/fstab").write_text("shared\n", encoding="utf-8")
    (shared / "etc/common").write_text("shared\n", encoding="utf-8")
    samples.recipe_folder(small, overlay=["../shared", "overlay"])
    first = build(small, version="1.0.0")
    root = _unpacked(first.slot_image, tmp_path / "root")
    assert (root / "etc/fstab").read_text() == "PARTUUID=0badcafe-04 /data ext4\n"
    assert (root / "etc/common").read_text() == "shared\n"
    (shared / "etc/common").write_text("changed\n", encoding="utf-8")
    assert build(small, version="1.0.0").slot != first.slot


def test_compressed_kernel_with_its_devicetree(small: Path, tmp_path: Path) -> None:
    kernel = {"modules": [], "compression": "gzip", "devicetree": "vendor/board.dtb"}
    samples.recipe_folder(small, kernel=kernel)
    root = _unpacked(build(small, version="1.0.0").slot_image, tmp_path / "root")
    assert gzip.decompress((root / "boot/vmlinuz").read_bytes()) == b"kernel"
    assert (root / "boot/board.dtb").read_bytes() == b"devicetree"


def test_unknown_devicetree(small: Path) -> None:
    samples.recipe_folder(small, kernel={"modules": [], "devicetree": "vendor/other.dtb"})
    with pytest.raises(BuildError, match=r"kernel.devicetree: the base has nothing called"):
        build(small, version="1.0.0")


def test_files_of_the_base_go_into_the_boot_partition(small: Path) -> None:
    """Also such as the slot does not get."""
    base = {**samples.content()["base"], "prune": ["/usr/lib/firmware-of-the-board"]}
    files = {"start.elf": "/usr/lib/firmware-of-the-board/start.elf"}
    samples.recipe_folder(small, base=base, boot_files=files)
    made = build(small, version="1.0.0")
    assert b"start.elf" in made.disk_image.read_bytes()[: 1 << 20]
