"""A jump of the clock: its form, and what a device is told."""

import subprocess
from pathlib import Path

import pytest

from harness.faults.clock import ClockJump

DATE = '#!/bin/sh\ncase $1 in -s) echo "${2#@}" >"$CLOCK" ;; *) cat "$CLOCK" ;; esac\n'


@pytest.mark.parametrize(
    ("text", "days", "printed"),
    [("jump:+3650d", 3650, "jump:+3650d"), ("jump:-20y", -7300, "jump:-7300d")],
)
def test_the_form_is_read_back(text: str, days: int, printed: str) -> None:
    jump = ClockJump.parse(text)
    assert (jump.days, str(jump)) == (days, printed)
    assert ClockJump.parse(printed) == jump


@pytest.mark.parametrize(
    "text",
    ["jump:", "jump:3650d", "jump:+0d", "jump:+1", "jump:+1h", "jump:+1dx2", "+1d", "jump:-٣d"],
)
def test_what_is_no_jump_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a jump of the clock"):
        ClockJump.parse(text)


@pytest.mark.parametrize("works", [True, False])
def test_a_device_shows_whether_its_clock_was_set(tmp_path: Path, works: bool) -> None:
    jump = ClockJump.parse("jump:-20y")
    (tmp_path / "date").write_text(DATE if works else DATE.replace("-s)", "-x)"))
    (tmp_path / "date").chmod(0o755)
    (tmp_path / "clock").write_text("1800000000\n")
    said = subprocess.run(
        ["sh", "-c", jump.command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CLOCK": str(tmp_path / "clock")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert jump.has_struck(said) is works
    assert not jump.has_struck("")
