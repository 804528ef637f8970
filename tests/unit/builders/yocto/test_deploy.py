"""A deploy folder of any Yocto build becomes a release, or one line says what is wrong with it."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.builders import builder
from harness.builders.builder import Ability
from harness.errors import ConfigurationError
from harness.product import release as releases
from harness.product.layout import KEEP, Region
from tests.unit.builders import bundles
from tests.unit.builders.yocto.deploys import BUILT, DEVICE, MIB, PROFILE, SLOT, STEM, DeployFolder


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
    "a link to nothing": (dangling, r"\.wic: missing: a link"),
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


def test_a_kas_project_that_is_none(deploy: DeployFolder) -> None:
    project = deploy.folder.parent / "box.yml"
    project.write_text("header: {version: 14}\nmachines: box\n")
    with pytest.raises(ConfigurationError, match=r"box\.yml: kas cannot read it"):
        deploy.adopt(kas=str(project))


def test_what_takes_the_build_cannot_be_had(deploy: DeployFolder) -> None:
    release = deploy.adopt()
    for ability in set(Ability) - {Ability.PAYLOAD}:
        assert "built by others" in builder.lacking(release, ability)
