"""Recipes: everything wrong with one is said at once, by key path."""

from pathlib import Path

import pytest

from harness.builders.debian import recipe
from harness.errors import ConfigurationError
from tests.unit.builders import samples


def test_legacy_gateway_recipe_is_valid() -> None:
    loaded = recipe.load(Path("images/legacy-gateway"))
    assert loaded.machine == "legacy-gateway"
    assert loaded.disk.slot_size == 96 << 20
    assert {"kernel-panic", "no-boot-counter", "health-always-yes"} <= set(loaded.variants)


def test_all_problems_at_once(tmp_path: Path) -> None:
    folder = samples.recipe_folder(
        tmp_path,
        colour="red",
        machine=None,
        overlay="nowhere",
        disk={"signature": "xyz", "slot_size": "1.5M", "data_size": "100K", "sice": 1},
        base={"suite": "bookworm", "architecture": "i386", "packages": "bash"},
        variants={"odd": {"overlay": "not-there"}},
    )
    with pytest.raises(ConfigurationError) as caught:
        recipe.load(folder)
    assert str(folder / "recipe.yaml") in caught.value.brief
    for problem in (
        "colour: unknown key (known here: base, boot, boot_files, bootloader, client, compatible,",
        "machine: missing",
        f"overlay: there is no folder {folder / 'nowhere'}",
        "disk.signature: 'xyz' does not match",
        "disk.slot_size: '1.5M' does not match",
        "disk.data_size: '100K' is not a whole number of MiB",
        "disk.sice: unknown key (known here: compression, data_size, signature, slot_size)",
        "base.packages: must be a list",
        "variants.odd.overlay: there is no folder",
    ):
        assert problem in caught.value.details


@pytest.mark.parametrize("text", ["[1, 2]", "", "a: [", "just text"])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        recipe.load(tmp_path)


def test_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"No such file"):
        recipe.load(tmp_path)


def test_unknown_variants_are_named(tmp_path: Path) -> None:
    loaded = recipe.load(samples.recipe_folder(tmp_path))
    assert loaded.chosen(["broken"])[0].overlay == tmp_path / "broken"
    with pytest.raises(ConfigurationError) as caught:
        loaded.chosen(["broken", "brokn"])
    assert "'brokn'" in caught.value.details
    assert "broken, without" in caught.value.hint


def test_own_signing(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch()
    signing = {"certificate": "c.pem", "key": "k.pem", "keyring": "missing.pem"}
    with pytest.raises(ConfigurationError, match="1 problem") as caught:
        recipe.load(samples.recipe_folder(tmp_path, signing=signing))
    assert "signing.keyring: there is no file" in caught.value.details


def test_a_successor_refuses_what_was_signed_before(tmp_path: Path) -> None:
    variants = {"rotated": {"successor": "development"}}
    folder = samples.recipe_folder(tmp_path, successor="development", variants=variants)
    with pytest.raises(ConfigurationError, match="2 problems") as caught:
        recipe.load(folder)
    assert "successor: what was signed before is refused" in caught.value.details
    assert "variants.rotated.successor: what was signed before" in caught.value.details
    refused = {"downgrades": "refused"}
    variants["rotated"]["promises"] = refused  # type: ignore[assignment]
    samples.recipe_folder(tmp_path, variants=variants)
    assert recipe.load(folder).succeeded_by([]) is None
    assert recipe.load(folder).succeeded_by(recipe.load(folder).chosen(["rotated"]))
    samples.recipe_folder(tmp_path, successor="development", promises=refused)
    assert recipe.load(folder).succeeded_by([])


def test_own_ca_of_update_servers(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    ours = {"certificate": "ca.pem", "key": "missing.pem"}
    with pytest.raises(ConfigurationError, match="1 problem") as caught:
        recipe.load(samples.recipe_folder(tmp_path, server_ca=ours))
    assert "server_ca.key: there is no file" in caught.value.details
    assert recipe.load(samples.recipe_folder(tmp_path)).server_ca is None


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("compatible", {"compatible": "a\n[image.rootfs]\nfilename=x"}),
        ("compatible", {"compatible": "--evil"}),
        ("machine", {"machine": "-x"}),
        ("kernel.modules", {"kernel": {"modules": [""], "initramfs": []}}),
        ("kernel.initramfs", {"kernel": {"modules": [], "initramfs": ["", " "]}}),
        ("health.services", {"health": {"services": ['a"; reboot; "']}}),
        ("health.deadline", {"health": {"deadline": 10**10}}),
        ("promises.attempts", {"promises": {"attempts": 10}}),
        ("promises.soak", {"promises": {"soak": -1}}),
        ("promises.health", {"promises": {"health": "never"}}),
        ("promises.dwell", {"promises": {"dwell": 74}}),
        ("promises.ends", {"promises": {"ends": ["poller"]}}),
        ("promises.downloads", {"promises": {"downloads": "streamed"}}),
        ("promises.colour", {"promises": {"colour": "red"}}),
        ("boot_files", {"boot_files": {"../../x": "/boot/x"}}),
        ("boot_files", {"boot_files": {"x": "no path"}}),
        ("variants", {"variants": {"a\nb": {}}}),
        ("disk.slot_size", {"disk": {"signature": "0badcafe", "slot_size": "9" * 12 + "G"}}),
        ("base", {"base": []}),
    ],
)
def test_what_would_mean_more_than_it_says_is_refused(
    tmp_path: Path, key: str, change: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        recipe.load(samples.recipe_folder(tmp_path, **change))
    assert any(line.startswith(f"  - {key}") for line in caught.value.details.splitlines())
    assert "\n[image" not in str(caught.value)


def test_a_key_is_there_once(tmp_path: Path) -> None:
    file = samples.recipe_folder(tmp_path) / "recipe.yaml"
    file.write_text(file.read_text() + "\nmachine: other\n")
    with pytest.raises(ConfigurationError, match="'machine' occurs twice"):
        recipe.load(tmp_path)


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(ConfigurationError, match="1 problem"):
            recipe.load(samples.recipe_folder(tmp_path, overlay=name))
