"""A deploy folder of any Yocto build becomes a release, or one line says what is wrong with it."""

import functools
import gzip
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.builders import builder
from harness.builders.builder import Ability
from harness.builders.yocto import sources
from harness.errors import ConfigurationError
from harness.product import release as releases
from harness.product.layout import KEEP, Region
from tests.unit.builders import bundles
from tests.unit.builders.yocto.deploys import (
    BUILT,
    DEVICE,
    MANIFEST,
    MIB,
    PROFILE,
    SLOT,
    STEM,
    DeployFolder,
    lay_out,
)


@pytest.fixture
def deploy(tmp_path: Path) -> DeployFolder:
    return DeployFolder(tmp_path)


def test_a_release_of_a_deploy_folder(deploy: DeployFolder) -> None:
    release = deploy.adopt()
    assert (release.machine, release.version, release.builder) == ("box", "1.1.0", "yocto")
    assert release.source_date_epoch == 1_700_000_000
    assert release.slot_image.read_bytes() == SLOT
    assert release.disk_image.read_bytes() == deploy.path("wic").read_bytes()
    names = {"disk.img", "disk.img.bmap", "packages.txt", "slot.img", "spdx.json"}
    assert release.files.keys() == {*names, "gateway-bundle-box.raucb"}
    assert releases.load(release.folder) == release
    builder.verify(release)


def test_where_things_are_on_the_disk_of_a_device_with_our_programs(deploy: DeployFolder) -> None:
    layout = deploy.adopt().layout
    assert layout["slot-B"] == Region(4 * MIB, 3 * MIB)
    assert layout["boot-selection"] == Region(524288, 786432 + 512 - 524288)
    assert layout["data"] == Region(7 * MIB, 8 * MIB - KEEP)
    assert layout["keep-1"].offset == 15 * MIB - KEEP


def test_a_device_without_our_programs(deploy: DeployFolder) -> None:
    deploy.profile(device=DEVICE)
    release = deploy.adopt(version="3")
    assert release.product.device is not None
    assert release.version == "3"
    assert release.layout["data"] == Region(7 * MIB, 8 * MIB)


def test_a_boot_selection_that_fw_env_config_names(tmp_path: Path) -> None:
    deploy = DeployFolder(tmp_path, client="mender")
    disk = {name: place for name, place in PROFILE["disk"].items() if "selection" not in name}
    deploy.profile(client="mender", boot_selection={"reader": "u-boot"}, disk=disk)
    with pytest.raises(ConfigurationError) as told:
        deploy.adopt()
    assert "nothing says where the boot selection is" in str(told.value)
    environment = deploy.folder / "fw_env.config.default"
    environment.write_text(
        "# of u-boot\n/dev/mmcblk0 0x40000 0x10000\n/dev/mmcblk0 0x60000 0x10000\n"
    )
    release = deploy.adopt()
    assert release.layout["boot-selection-2"] == Region(0x60000, 0x10000)
    assert release.artifact.name == f"{STEM}.mender"


def test_what_fw_env_config_says_against_the_profile(tmp_path: Path) -> None:
    """What the device's tools write must be what is looked at."""
    deploy = DeployFolder(tmp_path, client="mender")
    deploy.profile(client="mender", boot_selection={"reader": "u-boot"})
    environment = deploy.folder / "fw_env.config"
    environment.write_text("/dev/mmcblk0 0x80000 0x200\n/dev/mmcblk0 0xC0000 0x200\n")
    assert deploy.adopt().layout["boot-selection-2"] == Region(786432, 512)
    environment.write_text("/dev/mmcblk0 0x80000 0x200\n/dev/mmcblk0 0xC0200 0x200\n")
    with pytest.raises(ConfigurationError) as told:
        deploy.adopt("other")
    assert "disk.boot-selection-2: [786944, 512] in fw_env.config, [786432, 512]" in str(told.value)


@pytest.mark.parametrize(
    ("device", "told"), [("box-2", "is for box-2"), ("", "says nothing of device_type")]
)
def test_an_artifact_for_another_device(tmp_path: Path, device: str, told: str) -> None:
    deploy = DeployFolder(tmp_path, client="mender")
    deploy.put("mender", bundles.mender(SLOT, device=device))
    with pytest.raises(ConfigurationError, match=told):
        deploy.adopt()


HEADER = bundles.tar({"header-info": b'{"artifact_depends": {"device_type": ["box-1"]}}'})
NESTED = bundles.tar({"header-info": b"[" * 60_000})
PAYLOAD = bundles.tar({"slot.img": SLOT})
ARTIFACTS: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing to install": ({"header.tar": HEADER}, "0 files are called data/"),
    "two payloads": (
        {"header.tar": HEADER, "data/0000.tar": PAYLOAD, "data/0001.tar": PAYLOAD},
        "2 files are called data/",
    ),
    "a payload without a file": (
        {"header.tar": HEADER, "data/0000.tar": bundles.tar({})},
        "0 files, not one",
    ),
    "a payload of no bytes": (
        {"header.tar": HEADER, "data/0000.tar": bundles.tar({"slot.img": b""})},
        "its slot image is empty",
    ),
    "no header": ({"data/0000.tar": PAYLOAD}, "0 files are called header"),
    "a header without its file": (
        {"header.tar": bundles.tar({"other": b""}), "data/0000.tar": PAYLOAD},
        "header-info: missing",
    ),
    "a header that nests without end": (
        {"header.tar": NESTED, "data/0000.tar": PAYLOAD},
        "header-info: not usable JSON",
    ),
    "a payload packed otherwise": (
        {"header.tar": HEADER, "data/0000.tar.zst": b"packed"},
        "is no tar archive, plain, gz or xz",
    ),
}


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_that_is_none(tmp_path: Path, name: str) -> None:
    parts, told = ARTIFACTS[name]
    deploy = DeployFolder(tmp_path, client="mender")
    deploy.put("mender", bundles.tar(parts))
    with pytest.raises(ConfigurationError) as refused:
        deploy.adopt()
    assert told in str(refused.value)


def test_a_compressed_payload_is_unpacked(tmp_path: Path) -> None:
    """meta-mender's default; the slot image itself is not in the folder as it is named there."""
    deploy = DeployFolder(tmp_path, client="mender")
    packed = gzip.compress(bundles.tar({"gateway-image-box.squashfs": SLOT}))
    header = gzip.compress(
        bundles.tar({"header-info": b'{"artifact_depends":{"device_type":["box-1"]}}'})
    )
    artifact = bundles.tar({"header.tar.gz": header, "data/0000.tar.gz": packed})
    deploy.put("mender", artifact)
    assert deploy.adopt().slot.size == len(SLOT)
    deploy.profile(client="mender", compatible="box-2")
    with pytest.raises(ConfigurationError, match="is for box-1"):
        deploy.adopt("other")


def test_of_several_file_systems_the_one_that_is_installed(deploy: DeployFolder) -> None:
    deploy.put("ext4", bytes(8 * MIB))
    assert deploy.adopt().slot.size == len(SLOT)
    deploy.artifact(SLOT + bytes(512))
    with pytest.raises(ConfigurationError, match=r"installs none of .*ext4, .*squashfs"):
        deploy.adopt("other")


def test_files_of_an_older_build_are_left_alone(deploy: DeployFolder) -> None:
    (deploy.folder / f"{STEM}-20240101000000.testdata.json").write_text("{")
    for path in list(deploy.folder.iterdir()):
        if not path.is_symlink():
            old = path.with_name(path.name.replace(BUILT, "20250101000000"))
            old.write_bytes(path.read_bytes()[::-1])
    (deploy.folder / f"{STEM}-20250101000000.testdata.json").write_text(
        deploy.path("testdata.json").read_text()
    )
    assert deploy.adopt().slot_image.read_bytes() == SLOT


def test_a_copy_without_links(deploy: DeployFolder) -> None:
    for path in list(deploy.folder.iterdir()):
        if path.is_symlink():
            path.unlink()
    assert deploy.adopt().slot_image.read_bytes() == SLOT


class TestSeveralImages:
    @pytest.fixture(autouse=True)
    def another(self, deploy: DeployFolder) -> None:
        names = {"IMAGE_LINK_NAME": "rescue-box", "IMAGE_BASENAME": "rescue"}
        deploy.tell(stem="rescue-box", IMAGE_NAME=f"rescue-box-{BUILT}", **names)

    def test_one_must_be_named(self, deploy: DeployFolder) -> None:
        with pytest.raises(ConfigurationError, match=f"several images: {STEM}, rescue-box"):
            deploy.adopt()

    @pytest.mark.parametrize("name", ["gateway-image", STEM])
    def test_one_that_is_named(self, deploy: DeployFolder, name: str) -> None:
        assert deploy.adopt(image=name).slot.size == len(SLOT)

    def test_one_that_is_not_there(self, deploy: DeployFolder) -> None:
        with pytest.raises(ConfigurationError, match="no image demo"):
            deploy.adopt(image="demo")

    def test_one_that_was_never_made(self, deploy: DeployFolder) -> None:
        with pytest.raises(ConfigurationError, match=r"rescue-box\.wic or rescue-box\.sdimg"):
            deploy.adopt(image="rescue")


def unlink(*endings: str) -> Callable[[DeployFolder], None]:
    def change(deploy: DeployFolder) -> None:
        for ending in endings:
            (deploy.folder / f"{STEM}.{ending}").unlink()

    return change


def remove(deploy: DeployFolder, pattern: str) -> None:
    for path in deploy.folder.glob(pattern):
        path.unlink()


def dangling(deploy: DeployFolder) -> None:
    deploy.path("wic").unlink()


def outside(deploy: DeployFolder) -> None:
    there = deploy.folder.parent / "elsewhere"
    deploy.path("squashfs").rename(there)
    (deploy.folder / f"{STEM}.squashfs").unlink()
    (deploy.folder / f"{STEM}.squashfs").symlink_to(there)


def compressed(deploy: DeployFolder) -> None:
    unlink("wic")(deploy)
    deploy.put("wic.bz2", b"BZh")


def folder_in_place_of_a_file(deploy: DeployFolder) -> None:
    (deploy.folder / f"{STEM}.manifest").unlink()
    (deploy.folder / f"{STEM}.manifest").mkdir()


def loop(deploy: DeployFolder) -> None:
    (deploy.folder / f"{STEM}.squashfs").unlink()
    (deploy.folder / f"{STEM}.squashfs").symlink_to("around")
    (deploy.folder / "around").symlink_to(f"{STEM}.squashfs")


def told_outside(deploy: DeployFolder) -> None:
    there = deploy.folder.parent / "elsewhere.json"
    deploy.path("testdata.json").rename(there)
    (deploy.folder / f"{STEM}.testdata.json").unlink()
    (deploy.folder / f"{STEM}.testdata.json").symlink_to(there)


def told_in_a_circle(deploy: DeployFolder) -> None:
    deploy.path("testdata.json").unlink()
    deploy.path("testdata.json").symlink_to(f"{STEM}.testdata.json")


def nothing_installed(deploy: DeployFolder) -> None:
    deploy.put("squashfs", b"x")
    deploy.artifact(b"")


def packed_slot(deploy: DeployFolder) -> None:
    unlink("squashfs")(deploy)
    deploy.put("ext4.zst", b"packed")


def pipe(deploy: DeployFolder) -> None:
    deploy.path("manifest").unlink()
    os.mkfifo(deploy.path("manifest"))


def bundle(deploy: DeployFolder) -> Path:
    return deploy.folder / f"gateway-bundle-box-{BUILT}.raucb"


def called(name: str) -> Callable[[DeployFolder], None]:
    def change(deploy: DeployFolder) -> None:
        bundle(deploy).rename(deploy.folder / name)
        (deploy.folder / "gateway-bundle-box.raucb").unlink()

    return change


def one_byte(deploy: DeployFolder) -> None:
    """In the middle of slot A; the block map is made of that image."""
    with deploy.path("wic").open("r+b") as image:
        image.seek(MIB + len(SLOT) // 2)
        image.write(bytes([SLOT[len(SLOT) // 2] ^ 1]))
    deploy.block_map()


def lengthened(path: str, size: int) -> Callable[[DeployFolder], None]:
    def change(deploy: DeployFolder) -> None:
        with deploy.path(path).open("r+b") as stream:
            stream.truncate(size)
        if path == "wic" and size:
            deploy.block_map()

    return change


def beyond(deploy: DeployFolder) -> None:
    """Partition 2 says more sectors than there are."""
    with deploy.path("wic").open("r+b") as image:
        image.seek(446 + 16 + 12)
        image.write(b"\xff\xff\xff\x00")
    deploy.block_map()


def whole_file_system(deploy: DeployFolder) -> None:
    """In place of a disk: the slot's file system, as it would be flashed into a partition."""
    deploy.path("wic").write_bytes(bytes(MIB))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", deploy.path("wic"), "1M"], check=True)
    deploy.block_map()


def placed(name: str, offset: int, length: int) -> Callable[[DeployFolder], None]:
    return lambda d: d.profile(disk={**PROFILE["disk"], name: {"bytes": [offset, length]}})


MALFORMED: dict[str, tuple[Callable[[DeployFolder], object], str]] = {
    "nothing there": (
        lambda d: remove(d, "*"),
        r"has no IMAGE\.testdata\.json",
    ),
    "no disk image": (unlink("wic"), rf"{STEM}\.wic or .*: missing"),
    "a packed disk image": (compressed, r"wic\.bz2 is packed"),
    "two disk images": (lambda d: d.put("sdimg", b""), r"\.wic and .*\.sdimg: only one"),
    "no slot image": (unlink("squashfs"), r"squashfs or .*ext4: missing"),
    "no manifest": (unlink("manifest"), r"\.manifest: missing"),
    "a folder for a file": (folder_in_place_of_a_file, r"manifest: missing"),
    "no bundle": (
        lambda d: remove(d, "*.raucb"),
        r"\*\.raucb: missing",
    ),
    "two bundles": (
        lambda d: d.put("raucb", b"other", stem="debug-bundle-box"),
        r"raucb and .*raucb: only one",
    ),
    "a link to nothing": (dangling, r"\.wic: missing: it is no file, or a link that leads to none"),
    "a link out of the folder": (outside, r"squashfs: leads out of the folder"),
    "another machine's": (lambda d: d.tell(MACHINE="crate"), "MACHINE is crate, not box"),
    "another product's bundle": (
        lambda d: d.artifact(SLOT, MANIFEST_OF_ANOTHER),
        r"raucb: is for crate",
    ),
    "an older slot image": (
        lambda d: d.put("squashfs", SLOT[::-1]),
        r"does not install .*squashfs\n.*neither does slot A",
    ),
    "an older bundle": (
        lambda d: d.artifact(SLOT[::-1]),
        r"does not install .*squashfs\n.*slot A of the disk image does",
    ),
    "an older disk image": (
        lambda d: d.disk(SLOT[::-1]),
        r"wic: slot A does not hold what .*raucb installs",
    ),
    "a block map of another image": (
        lambda d: d.path("wic").write_bytes(d.path("wic").read_bytes()[:-1] + b"x"),
        r"wic\.bmap: is not of .*\.wic",
    ),
    "testdata that is cut": (
        lambda d: d.path("testdata.json").write_text('{"MACHINE": "box",'),
        r"testdata\.json: not usable JSON",
    ),
    "testdata that is a list": (
        lambda d: d.path("testdata.json").write_text("[]"),
        "must be one object",
    ),
    "testdata without an image": (
        lambda d: d.tell(IMAGE_BASENAME=7),
        r"testdata\.json: .*\n.*IMAGE_BASENAME|IMAGE_BASENAME: must be there",
    ),
    "a version that is none": (lambda d: d.tell(DISTRO_VERSION="next one"), "next one"),
    "a time that is none": (
        lambda d: d.tell(REPRODUCIBLE_TIMESTAMP_ROOTFS="never"),
        "'never' is no number",
    ),
    "a partition that is not there": (
        lambda d: d.profile(disk={**PROFILE["disk"], "data": {"partition": 9}}),
        r"disk\.data: no partitions are called 9",
    ),
    "a boot selection in a slot": (
        lambda d: d.profile(
            disk={**PROFILE["disk"], "boot-selection-2": {"bytes": [2 * MIB, 512]}}
        ),
        "overlap",
    ),
    "links in a circle": (loop, r"\.squashfs: missing: it is no file, or a link"),
    "testdata out of the folder": (told_outside, r"testdata\.json: leads out of the folder"),
    "testdata that leads to itself": (told_in_a_circle, r"testdata\.json: Too many levels"),
    "testdata of no bytes": (lambda d: d.path("testdata.json").write_bytes(b""), "not usable JSON"),
    "testdata without an end": (lengthened("testdata.json", 1 << 40), r"larger than [\d,]+ bytes"),
    "testdata that nests without end": (
        lambda d: d.path("testdata.json").write_text('{"a":' + "[" * 100_000),
        "not usable JSON",
    ),
    "testdata with a machine twice": (
        lambda d: d.path("testdata.json").write_text(
            d.path("testdata.json").read_text().replace("{", '{"MACHINE": "crate",', 1)
        ),
        r"not usable JSON\n.*twice",
    ),
    "a version with a slash": (
        lambda d: d.tell(DISTRO_VERSION="1.1/0"),
        r"testdata\.json: DISTRO_VERSION: '1\.1/0' is no version[^\n]*\nhint: --version",
    ),
    "a time that is a list": (
        lambda d: d.tell(REPRODUCIBLE_TIMESTAMP_ROOTFS=["x"]),
        "is no number of seconds",
    ),
    "a time that no file has": (
        lambda d: d.tell(REPRODUCIBLE_TIMESTAMP_ROOTFS="4294967296"),
        "is no number of seconds",
    ),
    "an image's name that leads elsewhere": (
        lambda d: d.tell(IMAGE_LINK_NAME="../other"),
        "IMAGE_LINK_NAME: must be there, and match",
    ),
    "an empty manifest": (lambda d: d.path("manifest").write_bytes(b""), r"manifest: is empty"),
    "a pipe": (pipe, r"manifest: missing: it is no file"),
    "an empty bundle": (lambda d: bundle(d).write_bytes(b""), r"raucb: is empty"),
    "a bundle that was cut": (
        lambda d: os.truncate(bundle(d), 200_000),
        r"raucb: unsquashfs cannot unpack manifest",
    ),
    "a bundle for nobody": (
        lambda d: d.artifact(SLOT, "[update]\nversion=1\n\n[image.rootfs]\nfilename=rootfs.img\n"),
        r"raucb: its manifest says nothing of update\.compatible",
    ),
    "a bundle without its image": (
        lambda d: d.artifact(SLOT, MANIFEST.replace("rootfs.img", "other.img")),
        r"raucb: other\.img: No such file",
    ),
    "a bundle with two images": (
        lambda d: d.artifact(SLOT, MANIFEST + "\n[image.boot]\nfilename=boot.img\n"),
        "does not name one image",
    ),
    "a bundle that nothing is in": (
        nothing_installed,
        r"raucb: its slot image is empty",
    ),
    "a bundle with a space in its name": (called("my bundle.raucb"), "no name of an artifact"),
    "a bundle with two lines for a name": (called("a\nb.raucb"), r"a\\nb\.raucb: no name of"),
    "a packed slot image": (packed_slot, r"ext4\.zst is packed"),
    "a slot image without an end": (
        lengthened("squashfs", 1 << 42),
        r"squashfs: 4,398,046,511,104 bytes, and slot A has 3,145,728",
    ),
    "a slot A with another byte": (one_byte, r"wic: slot A does not hold what .*raucb installs"),
    "a disk image of no bytes": (lengthened("wic", 0), r"\.wic: is empty"),
    "a disk image that was cut": (lengthened("wic", 8 * MIB), r"partitions \[4\] end behind"),
    "a disk image that was cut in a sector": (
        lengthened("wic", 16 * MIB - 100),
        "not a whole number of sectors",
    ),
    "a partition beyond the end": (beyond, r"partitions \[2\] end behind"),
    "a file system for a disk": (whole_file_system, "has no partition table"),
    "a block map that is none": (
        lambda d: d.put("wic.bmap", b"<bmap/>"),
        r"wic\.bmap: is not of [^\n]*\n[^\n]*\nhint",
    ),
    "data that have no room": (
        placed("data", 7 * MIB, MIB),
        r"disk\.data: needs more than the 1048576 bytes",
    ),
    "a boot selection beyond the end": (
        placed("boot-selection-2", 1 << 40, 512),
        r"disk\.boot-selection-2: ends behind the 16777216 bytes",
    ),
    "a boot selection in the partition table": (
        placed("boot-selection", 0, 512),
        "begins in the sector of the partition table",
    ),
    "a boot selection in half a sector": (
        lambda d: d.profile(disk={**PROFILE["disk"], "boot-selection-2": {"bytes": [1, 512]}}),
        r"disk\.boot-selection-2: bytes are whole",
    ),
}
MANIFEST_OF_ANOTHER = (
    "[update]\ncompatible=crate\nversion=1\n\n[image.rootfs]\nfilename=rootfs.img\n"
)


@pytest.mark.parametrize("name", MALFORMED)
def test_one_clear_error(deploy: DeployFolder, name: str) -> None:
    change, told = MALFORMED[name]
    change(deploy)
    with pytest.raises(ConfigurationError) as refused:
        deploy.adopt()
    assert re.search(told, str(refused.value)), str(refused.value)
    assert not (deploy.folder.parent / "out").exists()


@pytest.mark.parametrize("client", ["rauc", "mender"])
def test_a_release_that_is_laid_out_comes_back(tmp_path: Path, client: str) -> None:
    """What each night puts on boards: nothing of release.json but machine and version is told."""
    deploy = DeployFolder(tmp_path, client=client)
    release = deploy.adopt(version="2.0")
    deploy.folder = lay_out(release, tmp_path / "laid-out")
    again = deploy.adopt("again")
    assert (again.machine, again.version, again.slot) == ("box", "2.0", release.slot)
    assert (again.layout, again.product) == (release.layout, release.product)
    assert again.source_date_epoch == release.source_date_epoch
    assert again.files["disk.img"] == release.files["disk.img"]
    ending = {"rauc": "bundle-box.raucb", "mender": f"{STEM}.mender"}[client]
    assert again.artifact_name == ending


def test_commits_and_inputs_of_its_kas_project(deploy: DeployFolder) -> None:
    """From the lock; a repository without a commit could have been any version."""
    project = deploy.folder.parent / "box.yml"
    text = "header: {version: 14}\nmachine: box\nrepos:\n  own: {layers: {layer: null}}\n"
    text += "  core: {url: https://example.com/core, branch: wrynose}\n"
    project.write_text(text)
    with pytest.raises(ConfigurationError) as told:
        deploy.adopt(kas=str(project))
    assert "repos.core: no commit" in str(told.value)
    commit = "a" * 40
    lock = f"header: {{version: 14}}\noverrides: {{repos: {{core: {{commit: {commit}}}}}}}\n"
    project.with_name("box.lock.yml").write_text(lock)
    (deploy.folder.parent / "layer").mkdir()
    release = deploy.adopt(kas=str(project))
    assert release.built["sources"] == {"core": commit}
    (deploy.folder.parent / "layer/recipe.bb").touch()
    assert deploy.adopt("other", kas=str(project)).built["inputs"] != release.built["inputs"]


KAS = "header: {version: 14}\nmachine: box\nrepos:\n"


def kas_project(deploy: DeployFolder, text: str, name: str = "kas/box.yml") -> str:
    path = deploy.folder.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("header: {version: 14}\nmachine: box\n", "repos: missing"),
        (KAS + "  own: {layers: {meta: null}}\n", "repos.own: there is no layer .*/meta"),
        (KAS + "  own: {path: away}\n", "repos.own: there is no layer .*/away"),
        (KAS + "  core: {url: 'https://example.com/a', commit: main}\n", "repos.core: no commit"),
        (KAS + "  core: {url: 'https://example.com/a', tag: v1}\n", "repos.core: no commit"),
        (KAS.replace("box", "crate") + "  own:\n", "machine: crate, and .*deploy is of box"),
        ("distro: poky\n" + KAS + "  own:\n", "distro: poky, and .*deploy is of gateway"),
    ],
)
def test_a_kas_project_of_another_build(deploy: DeployFolder, text: str, told: str) -> None:
    project = kas_project(deploy, text)
    with pytest.raises(ConfigurationError) as refused:
        deploy.adopt(kas=project)
    assert re.search(told, str(refused.value)), str(refused.value)
    assert not (deploy.folder.parent / "out").exists()


@pytest.mark.parametrize("project", ["a.yml:", "a\nb.yml", ""])
def test_names_of_a_kas_project(project: str) -> None:
    with pytest.raises(ConfigurationError):
        sources.read(project)


def test_a_repository_without_layers_is_one(deploy: DeployFolder) -> None:
    """As kas has it: `repos: own:`; what git ignores there is no input."""
    project = Path(kas_project(deploy, KAS + "  own:\n"))
    run = functools.partial(subprocess.run, cwd=project.parent, check=True, capture_output=True)
    run(["git", "init"])
    (project.parent / ".gitignore").write_text("build\n")
    before = sources.read(str(project)).inputs
    (project.parent / "build").mkdir()
    (project.parent / "build/log").touch()
    assert sources.read(str(project)).inputs == before
    (project.parent / "recipe.bb").touch()
    assert sources.read(str(project)).inputs != before


def test_a_kas_project_that_is_none(deploy: DeployFolder) -> None:
    project = deploy.folder.parent / "box.yml"
    project.write_text("header: {version: 14}\nmachines: box\n")
    with pytest.raises(ConfigurationError, match=r"box\.yml: kas cannot read it"):
        deploy.adopt(kas=str(project))


def test_what_takes_the_build_cannot_be_had(deploy: DeployFolder) -> None:
    release = deploy.adopt()
    for ability in set(Ability) - {Ability.PAYLOAD}:
        assert "built by others" in builder.lacking(release, ability)
