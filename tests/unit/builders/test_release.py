"""release.json: what is written is what is read; anything else is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from harness.builders.debian import built as debian
from harness.errors import ConfigurationError
from harness.plain import one_line
from harness.product import release
from harness.product.layout import Region
from harness.product.product import Product
from harness.product.promises import Promises
from harness.product.release import Release
from tests.unit.bounds import bounded
from tests.unit.builders.samples import built


def _release(folder: Path) -> Release:
    files = (*release.FILES, "update.raucb")
    for name in files:
        (folder / name).write_bytes(name.encode())
    made = Release(
        folder=folder,
        machine="small",
        version="1.0.0",
        variants=("broken",),
        product=Product(
            client="rauc",
            bootloader="grub",
            compatible="small",
            promises=Promises(
                downgrades="refused",
                attempts=5,
                soak=400,
                health="repeatedly",
                dwell=200,
                ends=("poller.service",),
                downloads="restarted",
            ),
        ),
        built=built("images/small"),
        slot=release.digest(folder / "slot.img"),
        artifact_name="update.raucb",
        layout={"slot-A": Region(1048576, 4096)},
        files={name: release.digest(folder / name) for name in files},
    )
    made.write()
    return made


def test_round_trip(tmp_path: Path) -> None:
    made = _release(tmp_path)
    loaded = release.load(tmp_path)
    assert loaded == made
    assert loaded.disk_image == tmp_path / "disk.img"
    loaded.verify()


def test_verify_names_every_changed_file(tmp_path: Path) -> None:
    made = _release(tmp_path)
    (tmp_path / "disk.img").write_bytes(b"other")
    (tmp_path / "update.raucb").unlink()
    with pytest.raises(ConfigurationError) as caught:
        made.verify()
    assert "files.disk.img: content" in caught.value.details
    assert "files.update.raucb: missing" in caught.value.details


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    """It can be larger than any disk, and have no content at all."""
    made = _release(tmp_path)
    os.truncate(tmp_path / "disk.img", 8 << 40)
    with bounded(), pytest.raises(ConfigurationError, match=r"files\.disk\.img: content is not"):
        made.verify()


def test_schema_is_checked(tmp_path: Path) -> None:
    _release(tmp_path)
    path = tmp_path / "release.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(colour="red", slot={"sha256": "xyz", "size": -1}, layout={"slot-A": [1]})
    content["product"]["slots"] = {"content": "hearsay"}
    del content["machine"], content["product"]["client"], content["built"]["builder"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        release.load(tmp_path)
    for problem in (
        "colour: unknown key (known here: artifact, built, files, layout, machine, product,",
        "built: builder: must be the name of a builder",
        "layout.slot-A: must be two whole numbers",
        "machine: missing",
        "product.client: missing",
        "product.slots.content: must be 'exact', 'tree' or 'none'",
        "slot.sha256: 'xyz' does not match",
        "slot.size: must be greater than or equal to 0",
    ):
        assert f"  - {problem}" in caught.value.details


@pytest.mark.parametrize("schema", [2, 1, 4, "3", None, [[]] * 99])
def test_another_schema_is_refused_in_one_line(tmp_path: Path, schema: object) -> None:
    """What else is wrong with an old release is of no use to anybody."""
    _release(tmp_path)
    (tmp_path / "release.json").write_text(json.dumps({"schema": schema, "client": "rauc"}))
    with pytest.raises(ConfigurationError) as caught:
        release.load(tmp_path)
    told = json.dumps(schema)[:40]
    assert str(caught.value) == (
        f"{tmp_path / 'release.json'}: schema {told} is not known, 3 is\n"
        "hint: build the release again"
    )


def test_what_a_builder_says_is_its_own(tmp_path: Path) -> None:
    """Somebody else's has no recipe and no package base; all of it is one line each."""
    made = _release(tmp_path)
    other = replace(made, built={"builder": "files", "found": [{"in": "a drawer"}]})
    other.write()
    assert release.load(tmp_path) == other
    assert (other.builder, other.source_date_epoch) == ("files", 0)
    odds: list[JsonValue] = [[{"y": "a\nb"}], {"a\nb": 1}]
    for odd in odds:
        replace(made, built={"builder": "f", "x": odd}).write()
        with pytest.raises(ConfigurationError, match="1 problem") as caught:
            release.load(tmp_path)
        assert "  - built: x: must be one line" in caught.value.details


def test_this_builder_reads_what_it_has_said(tmp_path: Path) -> None:
    made = _release(tmp_path)
    assert debian.of(made).recipe == "images/small"
    wrong = replace(made, built={**made.built, "inputs": "xyz", "colour": "red"})
    with pytest.raises(ConfigurationError, match=r"release\.json: built: 2 problems") as caught:
        debian.of(wrong)
    assert "inputs: 'xyz' does not match" in caught.value.details
    assert "colour: unknown key (known here: base, builder, inputs," in caught.value.details


def test_a_key_is_there_once(tmp_path: Path) -> None:
    _release(tmp_path)
    path = tmp_path / "release.json"
    path.write_text(path.read_text().replace('"machine"', '"machine": "other", "machine"'))
    with pytest.raises(ConfigurationError, match="not usable JSON"):
        release.load(tmp_path)


def test_not_a_release(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        release.load(tmp_path)
    (tmp_path / "release.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not usable JSON"):
        release.load(tmp_path)


def _change(folder: Path, **changes: Any) -> str:
    """What is said of a release.json with these changes."""
    path = folder / "release.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"release\.json") as caught:
        release.load(folder)
    return caught.value.details


ELSEWHERE = ["x/update.raucb", "../update.raucb", "/etc/passwd", ".hidden", "a\nb", "", "-x", "ü"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_artifact_is_a_plain_name(tmp_path: Path, name: str) -> None:
    _release(tmp_path)
    assert "artifact: " in _change(tmp_path, artifact=name)


@pytest.mark.parametrize("name", [*ELSEWHERE, "release.json"])
def test_files_are_plain_names(tmp_path: Path, name: str) -> None:
    files = {**_release(tmp_path).to_json()["files"], name: {"sha256": "0" * 64, "size": 1}}
    assert f"files.{one_line(name)}: " in _change(tmp_path, files=files)


@pytest.mark.parametrize("name", ["disk.img", "slot.img", "update.raucb"])
def test_what_is_installed_has_a_digest(tmp_path: Path, name: str) -> None:
    files = _release(tmp_path).to_json()["files"]
    del files[name]
    assert f"files.{name}: missing" in _change(tmp_path, files=files)


def test_the_slot_is_the_slot_image(tmp_path: Path) -> None:
    _release(tmp_path)
    told = _change(tmp_path, slot={"sha256": "c" * 64, "size": 8})
    assert "slot: is not files.slot.img" in told


def test_a_disk_image_is_no_update(tmp_path: Path) -> None:
    _release(tmp_path)
    assert "is no update artifact" in _change(tmp_path, artifact="disk.img")


@pytest.mark.parametrize(
    "key", ["machine", "version", "product.compatible", "product.client", "built.recipe"]
)
@pytest.mark.parametrize("text", ["1\nEvidence: sha256:0", "1\x1b[2J"])
def test_texts_are_one_line(tmp_path: Path, key: str, text: str) -> None:
    """They become lines of messages, manifests and folders."""
    made = _release(tmp_path).to_json()
    part, _, below = key.partition(".")
    content = {**made[part], below: text} if below else text
    assert f"{key.replace('built.', 'built: ')}: " in _change(tmp_path, **{part: content})


@pytest.mark.parametrize("name", ["", "a b", "x\ny", "../x"])
def test_variants_have_names(tmp_path: Path, name: str) -> None:
    _release(tmp_path)
    assert "variants.0: " in _change(tmp_path, variants=[name])
