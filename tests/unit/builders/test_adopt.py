"""Images that others built become a release: real partition tables, real bundles."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.builders import builder
from harness.builders.builder import Ability
from harness.builders.finished.adopt import adopt
from harness.clients.selection_format import found_in_image
from harness.errors import ConfigurationError
from harness.process import run
from harness.product import release as releases
from harness.product.profile import ContentCheck
from harness.product.release import Release
from tests.unit.clients.test_u_boot_variables import SIZE, environment
from tests.unit.product.test_trees import image

MIB = 1 << 20
SLOT = bytes(4096) + os.urandom(200_000) + bytes(56_000)  # shorter than its partition
COMMANDS = {"version": "cat /v", "install": "get {url}", "well": "true", "data": "/srv"}
PROFILE = {
    "machine": "foreign",
    "compatible": "foreign-1",
    "client": "rauc",
    "device": COMMANDS,
    "disk": {
        "boot-selection": {"partition": 1},
        "slot-A": {"partition": 2},
        "slot-B": {"partition": 3},
        "data": {"partition": 4},
    },
    "boot_selection": {"reader": "grub-order", "file": "/grubenv"},
    "slots": {"content": "exact"},
    "promises": {"attempts": 1},
}


class Product:
    """What somebody has built: a disk image, a bundle, a profile, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image, self.bundle = folder / "disk.img", folder / "update.raucb"
        self.profile = folder / "product.yaml"
        self.write_profile()
        self.write_disk(SLOT)
        self.write_bundle(SLOT)

    def write_profile(self, **changes: object) -> None:
        self.profile.write_text(yaml.safe_dump({**PROFILE, **changes}))

    @property
    def bad_version(self) -> dict[str, object]:
        """A variant, as a profile names it: adopted into `bad`."""
        return {"kernel-panic": {"release": str(self.folder / "bad"), "console": "panic"}}

    def write_disk(self, slot: bytes, *, second: str = "2M") -> None:
        source = self.folder / "in"
        source.mkdir(exist_ok=True)
        (source / "slot").write_bytes(slot)
        (source / "empty").write_bytes(b"")
        sizes = {"boot": ("empty", "1M"), "a": ("slot", "2M"), "b": ("empty", second)}
        parts = "".join(
            f'partition {name} {{ image = "{file}" size = {size} partition-type = 0x83 }}\n'
            for name, (file, size) in {**sizes, "data": ("empty", "1M")}.items()
        )
        text = f"image disk.img {{\nhdimage {{ }}\n{parts}}}\n"
        (self.folder / "genimage.cfg").write_text(text)
        (self.folder / "root").mkdir(exist_ok=True)
        run(
            [
                *("genimage", "--config", "genimage.cfg", "--inputpath", "in"),
                *("--rootpath", "root", "--outputpath", ".", "--tmppath", "tmp"),
            ],
            timeout=60,
            cwd=self.folder,
        )
        os.truncate(self.image, 16 * MIB)  # genimage leaves out an empty end

    def write_bundle(self, slot: bytes) -> None:
        content = self.folder / "bundle"
        content.mkdir(exist_ok=True)
        (content / "rootfs.ext4").write_bytes(slot)
        (content / "manifest.raucm").write_text(
            "[update]\ncompatible=foreign-1\nversion=1\n\n[image.rootfs]\nfilename=rootfs.ext4\n"
        )
        self.bundle.unlink(missing_ok=True)
        run(["mksquashfs", content, self.bundle, "-quiet"], timeout=60)

    def adopt(self, name: str = "out", **words: object) -> Release:
        given = {"version": "1.0.0", **words}
        return adopt(
            self.image,
            self.bundle,
            product=self.profile,
            output=self.folder / name,
            **given,  # type: ignore[arg-type]
        )


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return Product(tmp_path)


def test_a_release_of_finished_images(product: Product) -> None:
    release = product.adopt()
    assert (release.machine, release.version, release.builder) == ("foreign", "1.0.0", "finished")
    assert release.slot_image.read_bytes() == SLOT
    assert release.disk_image.read_bytes() == product.image.read_bytes()
    assert release.layout["slot-B"].length == 2 * MIB
    assert release.product.slots.content is ContentCheck.EXACT
    assert release.product.device is not None
    assert release.product.device.data == "/srv"
    assert release.product.successor == ""  # no profile knows one: `again` has nothing to follow
    assert releases.load(release.folder) == release
    builder.verify(release)


def test_an_artifact_that_was_exchanged_later_is_found(product: Product) -> None:
    release = product.adopt()
    product.write_bundle(SLOT[::-1])
    release.artifact.write_bytes(product.bundle.read_bytes())
    exchanged = replace(
        release, files={**release.files, "update.raucb": releases.digest(release.artifact)}
    )
    with pytest.raises(ConfigurationError, match="installs another slot image"):
        builder.verify(exchanged)


def test_an_image_and_an_artifact_of_different_builds(product: Product) -> None:
    product.write_disk(SLOT[:-1] + b"x")
    with pytest.raises(ConfigurationError, match=r"slot A does not hold what update\.raucb"):
        product.adopt()
    assert not (product.folder / "out").exists()


def test_an_artifact_for_another_product(product: Product) -> None:
    product.write_profile(compatible="other")
    with pytest.raises(ConfigurationError, match=r"update\.raucb: is for foreign-1"):
        product.adopt()


@pytest.mark.parametrize(
    ("disk", "why"),
    [
        ({"slot-A": {"partition": 7}}, r"disk\.slot-A: no partitions are called 7.*1, 2, 3, 4"),
        ({"slot-A": {"partition": "rootfs-a"}}, "no partitions are called 'rootfs-a'"),
        ({"slot-B": {"partition": 2}}, "overlap"),
        ({"slot-B": {"partition": 4}, "data": {"partition": 3}}, "not equally large"),
        ({"keep": {"partition": 4}}, r"disk\.keep: not one of"),
        ({"data": {"partition": 0}}, "greater than or equal to 1"),
    ],
)
def test_a_disk_that_is_not_as_the_profile_says(
    product: Product, disk: dict[str, object], why: str
) -> None:
    product.write_profile(disk={**PROFILE["disk"], **disk})  # type: ignore[dict-item]
    with pytest.raises(ConfigurationError, match=r"product\.yaml") as told:
        product.adopt()
    assert re.search(why, f"{told.value}\n{told.value.details}")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"device": {"version": "cat /v", "well": "true", "install": "get"}}, "device.install"),
        ({"device": {"version": "", "well": "true", "install": "{url}"}}, "device.version"),
        ({"slots": {"content": "hearsay"}}, "slots.content"),
        ({"colour": "red"}, "colour"),
        ({"machine": "A B"}, "machine"),
        ({"promises": {"attempts": 0}}, "promises.attempts"),
        ({"device": {**COMMANDS, "installed": "("}}, "device.installed: '(' is no regular expr"),
        ({"device": {**COMMANDS, "installed": "x*"}}, "device.installed: 'x*' is found in any"),
        ({"variants": {"hang": {"release": "x", "console": "["}}}, "variants.hang.console: '['"),
        (
            {"variants": {"hang": {"release": "x", "console": "(a|)"}}},
            "'(a|)' is found in any text",
        ),
    ],
)
def test_a_profile_that_is_wrong(product: Product, change: dict[str, object], key: str) -> None:
    product.write_profile(**change)
    with pytest.raises(ConfigurationError) as told:
        product.adopt()
    assert key in f"{told.value}\n{told.value.details}"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["etc/machine-id", "usr"], ""),
        (["etc/c*", "etc/machine-id", "usr"], "slots.changes: names every file there is"),
        (["*"], "slots.changes: names every file there is"),
    ],
)
def test_something_is_left_to_compare(product: Product, changes: list[str], why: str) -> None:
    """Else whatever a slot holds would be the version that it should be."""
    product.write_profile(slots={"content": "tree", "changes": changes})
    with pytest.raises(ConfigurationError, match="1 problem") as told:
        product.adopt()
    assert "slots.content: tree: the slot image is no ext4" in told.value.details
    image(product.folder, "slot")
    small = product.folder / "small.img"
    run(["mke2fs", "-q", "-t", "ext4", "-d", product.folder / "slot.root", small, "2M"], timeout=30)
    made = small.read_bytes()
    product.write_disk(made)
    product.write_bundle(made)
    if not why:
        assert product.adopt().product.slots.content is ContentCheck.TREE
        return
    with pytest.raises(ConfigurationError) as told:
        product.adopt()
    assert why in told.value.details


def test_an_output_that_is_there_is_left_alone(product: Product) -> None:
    (product.folder / "out").mkdir()
    (product.folder / "out/mine").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        product.adopt()
    assert (product.folder / "out/mine").exists()


def test_what_takes_building_cannot_be_had(product: Product) -> None:
    release = product.adopt()
    for ability in set(Ability) - {Ability.PAYLOAD}:
        assert "built by others" in builder.lacking(release, ability)
        with pytest.raises(ConfigurationError, match="built by others"):
            builder.require(release, ability)


class TestBadVersions:
    """A variant is another adopted release, which the profile names."""

    def test_one_that_is_there(self, product: Product) -> None:
        product.write_profile(variants=product.bad_version)
        good = product.adopt()
        assert builder.lacking(good, Ability.AGAIN)  # not adopted yet
        bad = product.adopt("bad", version="1.2.0", variants=["kernel-panic"])
        assert not builder.lacking(good, Ability.AGAIN)
        assert list(builder.of(good).variants(good)) == ["kernel-panic"]
        made = builder.of(good).again(good, version="x", variants=["kernel-panic"])
        assert made.folder == bad.folder

    def test_one_of_another_product(self, product: Product) -> None:
        product.write_profile(variants=product.bad_version)
        good = product.adopt()
        product.write_profile(promises={"attempts": 2})
        product.adopt("bad", variants=["kernel-panic"])
        with pytest.raises(ConfigurationError, match="another product"):
            builder.of(good).again(good, version="x", variants=["kernel-panic"])

    def test_one_that_is_no_variant(self, product: Product) -> None:
        product.write_profile(variants=product.bad_version)
        good = product.adopt()
        product.adopt("bad")
        with pytest.raises(ConfigurationError, match="was adopted as no variant"):
            builder.of(good).again(good, version="x", variants=["kernel-panic"])


class TestWhereTheBootSelectionIs:
    """In a partition, in bytes that lie in none, with the partition table, in two copies."""

    def layout(self, product: Product, **disk: object) -> dict[str, tuple[int, int]]:
        product.write_profile(disk={**PROFILE["disk"], **disk})  # type: ignore[dict-item]
        return {name: tuple(region) for name, region in product.adopt().layout.items()}  # type: ignore[misc]

    def test_with_the_table_before_it(self, product: Product) -> None:
        plain = self.layout(product)["boot-selection"]
        product.folder.joinpath("out").rename(product.folder / "plain")
        whole = self.layout(product, **{"boot-selection": {"partition": 1, "table": True}})
        assert whole["boot-selection"] == (0, sum(plain)) == whole["boot-selection-1"]

    def test_two_copies_in_bytes(self, product: Product) -> None:
        found = self.layout(
            product,
            **{
                "boot-selection": {"bytes": [8 * MIB, 8192]},
                "boot-selection-2": {"bytes": [9 * MIB, 8192]},
            },
        )
        assert found["boot-selection-1"] == (8 * MIB, 8192)
        assert found["boot-selection-2"] == (9 * MIB, 8192)
        assert found["boot-selection"] == (8 * MIB, MIB + 8192)

    @pytest.mark.parametrize(
        ("place", "why"),
        [
            ({}, "needs one of partition and bytes"),
            ({"partition": 1, "bytes": [0, 512]}, "needs one of"),
            ({"bytes": [0, 100]}, "whole sectors"),
            ({"bytes": [0, 2 * MIB]}, "overlap"),
        ],
    )
    def test_no_place(self, product: Product, place: dict[str, object], why: str) -> None:
        with pytest.raises(ConfigurationError) as told:
            self.layout(product, **{"boot-selection": place})
        assert why in f"{told.value}\n{told.value.details}"

    def test_a_slot_has_no_table(self, product: Product) -> None:
        with pytest.raises(ConfigurationError) as told:
            self.layout(product, **{"slot-A": {"partition": 2, "table": True}})
        assert "disk.slot-A: only the boot selection" in f"{told.value}\n{told.value.details}"


def test_words_of_a_reader(product: Product) -> None:
    words = {"slot": "rootpart", "A": "2", "B": "3"}
    product.write_profile(
        boot_selection={"reader": "u-boot-environment", "file": "/e", "words": words}
    )
    found = product.adopt().product.selection
    assert found is not None
    assert found.words == words


@pytest.mark.parametrize(
    ("slot", "told"), [("2", ""), ("3", "the disk image boots"), ("", "finds none in the disk")]
)
def test_what_the_reader_finds_in_the_image_is_told(product: Product, slot: str, told: str) -> None:
    """Wrong words, a wrong file or a wrong place show themselves before any board is tried."""
    place = {"bytes": [8 * MIB, SIZE]}
    product.write_profile(
        disk={**PROFILE["disk"], "boot-selection": place},  # type: ignore[dict-item]
        boot_selection={"reader": "u-boot-environment"},
    )
    if slot:
        with product.image.open("r+b") as image:
            image.seek(8 * MIB)
            image.write(environment(mender_boot_part=slot))
    found = found_in_image(product.adopt())
    assert told in found
    assert bool(told) is bool(found)
