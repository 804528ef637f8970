"""release.json: what is written is what is read; anything else is refused."""

import json
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.images import release
from harness.images.layout import Region
from harness.images.release import Digest, Release


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
        slot=Digest(sha256="c" * 64, size=8),
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
