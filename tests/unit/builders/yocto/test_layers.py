"""The layer and the kas files, as far as they can be looked at without fetching anything."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.builders.debian import recipe as recipes
from harness.builders.debian.bootloaders import bootloader, grub
from harness.builders.yocto import kas, recipe, sources
from harness.errors import ConfigurationError
from harness.product import profile
from harness.product.layout import KEEP, MIB, SECTOR, Region

ROOT = Path(__file__).parents[4]
KAS = ROOT / "yocto-layers/kas"
LAYER = ROOT / "yocto-layers/meta-harness"
MACHINES = ("legacy-gateway", "rpi4")
OVERLAYS = sorted({*KAS.rglob("*.yml")} - {*KAS.glob("*.lock.yml")} - {KAS / "base.yml"})
OVERLAYS = [each for each in OVERLAYS if each.stem not in MACHINES]
RECIPES = sorted(
    path
    for path in LAYER.rglob("*")
    if path.suffix in (".bb", ".bbappend", ".bbclass", ".conf", ".inc")
)
# Of the linter's rules, those that cannot hold here, and why.
SUPPRESSED = (
    "oelint.vars.mispell",  # it knows no variable of the other layers
    "oelint.vars.mispell.unknown",
    "oelint.vars.homepageping",  # asks the network
    "oelint.file.requirenotfound",  # of files in layers that are not here
    "oelint.file.includenotfound",
    "oelint.var.licenseremotefile",  # the sources are this repository
)


@pytest.mark.parametrize("path", sorted(KAS.rglob("*.yml")), ids=lambda path: path.name)
def test_the_schema_of_kas(path: Path) -> None:
    from kas import configschema  # noqa: PLC0415 - of the development environment only

    jsonschema.validate(yaml.safe_load(path.read_text()), configschema.CONFIGSCHEMA)


@pytest.mark.parametrize("machine", MACHINES)
class TestDump:
    def test_every_repository_has_its_commit(self, machine: str) -> None:
        found = sources.read(str(KAS / f"{machine}.yml"))
        assert {"bitbake", "openembedded-core"} < found.commits.keys()
        assert all(re.fullmatch("[0-9a-f]{40}", each) for each in found.commits.values())

    def test_overlays_lie_on_each_other(self, machine: str) -> None:
        found = kas.describe(":".join(map(str, [KAS / f"{machine}.yml", *OVERLAYS])))
        assert (found["machine"], found["distro"]) == (machine, "gateway")
        own = [name for name, repo in found["repos"].items() if not (repo or {}).get("url")]
        assert own == ["meta-harness"]
        told = found["local_conf_header"]
        for overlay in OVERLAYS:
            if overlay.parent.name == "variants":
                assert f'append = " {overlay.stem}"' in told[f"variant-{overlay.stem}"]
        assert {"mender", "rauc", "offline", "policy", "qemu"} >= told.keys() - {
            f"variant-{each.stem}" for each in OVERLAYS
        }


def test_public_addresses_only() -> None:
    known = ("https://git.openembedded.org/", "https://github.com/")
    for path in KAS.rglob("*.yml"):
        for url in re.findall(r"url: *(\S+)", path.read_text()):
            assert url.startswith(known), path


def test_the_linter_of_recipes() -> None:
    words = [word for rule in SUPPRESSED for word in ("--suppress", rule)]
    program = Path(sys.executable).with_name("oelint-adv")
    argv = [str(program), "--quiet", "--release", "wrynose", "--hide", "info", "--jobs", "1"]
    done = subprocess.run(
        [*argv, *words, *map(str, RECIPES)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def variables(machine: str) -> dict[str, str]:
    """What the machine's conf sets, its includes too."""
    found: dict[str, str] = {}
    for path in (
        LAYER / f"conf/machine/{machine}.conf",
        LAYER / "conf/machine/include/gateway.inc",
    ):
        for name, value in re.findall(r'^([\w-]+) \??\??= "(.*)"$', path.read_text(), re.MULTILINE):
            found.setdefault(name, value)
    return found


def size(text: str, unit: int) -> int:
    """Bytes of a number with a unit, as wic's parser takes them (--offset: K, --fixed-size: M)."""
    number, suffix = re.fullmatch(r"(\d+)([sKMG]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"": unit, "s": SECTOR, "K": 1 << 10, "M": MIB, "G": 1 << 30}[suffix]


def parts(machine: str) -> list[tuple[str, Region]]:
    """(file, region) of each line of the wks; the length of what has none is 0."""
    found, after = [], 0
    told = variables(machine)
    text = (LAYER / f"files/wic/{machine}.wks.in").read_text()
    text = re.sub(r"\$\{(\w+)\}", lambda match: told.get(match[1], match[1]), text)
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] != "part":
            continue
        pairs = [pair for word in words for pair in word.split("=", 1)]
        given = dict(itertools.pairwise(pairs))
        start = size(given["--offset"], 1 << 10) if "--offset" in given else after
        length = size(given.get("--fixed-size", "0"), MIB)
        found.append(
            (given.get("--sourceparams", given.get("--source", "")), Region(start, length))
        )
        after = start + length
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_the_layout_of_wic_is_that_of_the_debian_images(machine: str) -> None:
    made = recipes.load(ROOT / "images" / machine)
    wanted = bootloader(made.bootloader).regions(made)
    slots_and_data = [region for _, region in parts(machine)[-3:]]
    data = wanted["data"]
    assert slots_and_data == [
        wanted["slot-A"],
        wanted["slot-B"],
        Region(data.offset, data.length + KEEP),
    ]
    in_front = {name: region.offset for name, region in parts(machine)[:-3]}
    if machine == "rpi4":
        for number in (1, 2):
            name = f"file=gateway-environment-{number}.img"
            assert in_front[name] == wanted[f"boot-selection-{number}"].offset
        assert in_front["bootimg_partition"] == wanted["boot"].offset
    else:
        assert in_front["file=gateway-core.img"] == grub.CORE * SECTOR
        assert in_front["file=gateway-boot.img"] == grub.BOOT_PARTITION.offset
    assert variables(machine)["GATEWAY_DISK_SIGNATURE"] == made.disk.signature
    assert f"squashfs-{made.disk.compression}".startswith(variables(machine)["GATEWAY_SLOT_FSTYPE"])


def test_mender_has_u_boots_environment_where_it_is() -> None:
    made = recipes.load(ROOT / "images/rpi4")
    wanted, told = bootloader("u-boot").regions(made), variables("rpi4")
    for number in (1, 2):
        offset = told[f"MENDER_UBOOT_ENV_STORAGE_DEVICE_OFFSET_{number}"]
        assert int(offset, 0) == wanted[f"boot-selection-{number}"].offset
    assert int(told["BOOTENV_SIZE"], 0) == wanted["boot-selection-1"].length
    assert int(told["MENDER_STORAGE_PEB_SIZE"]) == MIB


def test_the_boot_partition_is_that_of_the_debian_images(tmp_path: Path) -> None:
    """Byte for byte, as far as wic's partition goes: it has whole KiB, one sector less."""
    folder, output = tmp_path / "boot", tmp_path / "boot.img"
    folder.mkdir()
    signature = variables("legacy-gateway")["GATEWAY_DISK_SIGNATURE"]
    source = ROOT / "images/legacy-gateway/boot"
    for path in source.iterdir():
        (folder / path.name).write_text(path.read_text().replace("@SIGNATURE@", signature))
    program = next(LAYER.rglob("boot-partition.py"))
    subprocess.run([sys.executable, program, folder, output], check=True, timeout=60)
    wanted, made = grub.boot_partition([source], signature), output.read_bytes()
    assert len(made) == grub.BOOT_PARTITION.length - SECTOR
    assert made.rstrip(b"\0") == wanted.rstrip(b"\0")


@pytest.mark.parametrize("machine", MACHINES)
class TestRecipe:
    def test_variants_are_those_of_the_debian_recipe(self, machine: str) -> None:
        """But for those that are a promise: product.yaml makes these."""
        debian = recipes.load(ROOT / "images" / machine).variants
        ours = recipe.load(ROOT / "images" / machine).variants
        assert ours.keys() == {name for name, each in debian.items() if not each.promises}

    def test_what_a_variant_takes_out(self, machine: str) -> None:
        text = (LAYER / "classes-recipe/gateway_image.bbclass").read_text()
        removed = dict(re.findall(r'GATEWAY_REMOVES\[([\w-]+)\] = "(.*)"', text))
        for name, each in recipes.load(ROOT / "images" / machine).variants.items():
            if each.remove:
                assert set(each.remove) <= set(removed[name].split()), name
                assert not (each.overlay or each.initramfs)

    def test_one_that_is_none(self, machine: str) -> None:
        with pytest.raises(ConfigurationError, match="newer-only: there is none for this machine"):
            recipe.load(ROOT / "images" / machine).project(["newer-only"])

    def test_the_product_is_laid_out_as_the_debian_release(self, machine: str) -> None:
        found = profile.load(ROOT / "images" / machine / "product.yaml")
        made = recipes.load(ROOT / "images" / machine)
        wanted = bootloader(made.bootloader).regions(made)
        assert (found.client, found.compatible, found.machine) == (
            made.client,
            made.compatible,
            machine,
        )
        assert found.boot_selection.reader == made.bootloader
        assert found.disk["boot-selection"].bytes == wanted["boot-selection-1"]
        assert found.disk["boot-selection-2"].bytes == wanted["boot-selection-2"]


def test_device_programs_are_not_copied() -> None:
    """What is in images/ is in no file of the layer."""
    lines = {
        line
        for path in (ROOT / "images/common").rglob("*")
        if path.is_file() and "variants" not in path.parts
        for line in path.read_text().splitlines()
        if len(line) > 60
    }
    for path in LAYER.rglob("*"):
        if path.is_file():
            assert not lines & set(path.read_text().splitlines()), path


def test_versions_are_pinned_in_locks_only() -> None:
    for machine in MACHINES:
        text = (KAS / f"{machine}.yml").read_text() + (KAS / "base.yml").read_text()
        assert "commit:" not in text
    told = json.dumps(yaml.safe_load((KAS / "base.lock.yml").read_text()))
    assert told.count("commit") == 2
