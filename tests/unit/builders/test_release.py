"""release.json: what is written is what is read; anything else is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigurationError
from harness.plain import plain
from harness.product import release
from harness.product.layout import Region
from harness.product.promises import Promises
from harness.product.release import Release
from tests.unit.bounds import bounded


def _release(folder: Path) -> Release:
    files = (*release.FILES, "update.raucb")
    for name in files:
        (folder / name).write_bytes(name.encode())
    made = Release(
        folder=folder,
        machine="small",
        version="1.0.0",
        variants=("broken",),
        client="rauc",
        bootloader="grub",
        compatible="small",
        inputs="a" * 64,
        base="b" * 64,
        suites=("bookworm",),
        recipe="images/small",
        source_date_epoch=1700000000,
        slot=release.digest(folder / "slot.img"),
        artifact_name="update.raucb",
        promises=Promises(downgrades="refused", attempts=5, soak=400, health="repeatedly"),
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
    content.update(schema=1, colour="red", inputs="xyz", layout={"slot-A": [1]})
    del content["machine"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        release.load(tmp_path)
    for problem in ("schema: '1'", "colour: unknown", "inputs:", "layout.slot-A:", "machine: miss"):
        assert problem in caught.value.details


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
    assert f"files.{plain(name)}: " in _change(tmp_path, files=files)


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


@pytest.mark.parametrize("key", ["machine", "version", "compatible", "client", "recipe"])
@pytest.mark.parametrize("text", ["1\nEvidence: sha256:0", "1\x1b[2J"])
def test_texts_are_one_line(tmp_path: Path, key: str, text: str) -> None:
    """They become lines of messages, manifests and folders."""
    _release(tmp_path)
    assert f"{key}: " in _change(tmp_path, **{key: text})


@pytest.mark.parametrize("name", ["", "a b", "x\ny", "../x"])
def test_variants_have_names(tmp_path: Path, name: str) -> None:
    _release(tmp_path)
    assert "variants: " in _change(tmp_path, variants=[name])
