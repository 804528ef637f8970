"""Firmware in flash chips: variables last over boots, are saved, and begin anew after flashing."""

from pathlib import Path

import pytest

from harness.boards.qemu.pflash import FlashChips
from harness.errors import ConfigurationError


@pytest.fixture
def chips(tmp_path: Path) -> FlashChips:
    (tmp_path / "code.fd").write_bytes(b"code")
    (tmp_path / "vars.fd").write_bytes(b"new")
    run = tmp_path / "run"
    run.mkdir()
    return FlashChips(run, str(tmp_path / "code.fd"), str(tmp_path / "vars.fd"))


def variables(chips: FlashChips) -> Path:
    """What the second drive of the next boot is."""
    [_, code, _, kept] = chips.arguments()
    assert "unit=0,format=raw,readonly=on" in code
    return Path(kept.rpartition("file=")[2])


def test_variables_are_kept_until_it_is_flashed(chips: FlashChips) -> None:
    assert variables(chips).read_bytes() == b"new"
    variables(chips).write_bytes(b"boot order")
    assert variables(chips).read_bytes() == b"boot order"
    chips.reset()
    assert variables(chips).read_bytes() == b"new"


def test_saved_and_restored(chips: FlashChips, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    chips.save(saved)  # nothing is written yet
    variables(chips).write_bytes(b"later")
    chips.restore(saved)
    assert variables(chips).read_bytes() == b"new"
    variables(chips).write_bytes(b"kept")
    chips.save(saved)
    variables(chips).write_bytes(b"later")
    chips.restore(saved)
    assert variables(chips).read_bytes() == b"kept"


def test_none_and_not_there(tmp_path: Path) -> None:
    assert FlashChips(tmp_path).arguments() == []
    with pytest.raises(ConfigurationError, match=r"pflash\.code"):
        FlashChips(tmp_path, "/nowhere/code.fd").arguments()
