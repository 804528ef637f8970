"""What the first process does where a real-time clock shows more than 32 bits can."""

import os
import re
import subprocess
from pathlib import Path

import pytest

INIT = Path(__file__).parents[3] / "images/common/initramfs/init"
SHOWS = "/sys/class/rtc/rtc0/since_epoch"
DATES = {32: "echo date: invalid date >&2; exit 1", 64: "echo 2038"}  # of -d @2147483648
DONE = ["umount /sys", "date -u -s @86400", "touch -c -h", "mount -t sysfs sys /sys"]


def done(folder: Path, shown: str | None, bits: int) -> list[str]:
    """The programs that its lines on the clock run, but for what they ask."""
    found = re.search(r"(?ms)^\{ read -r shows.*?^fi$", INIT.read_text())
    assert found
    assert found[0].count(SHOWS) == 1
    if shown is not None:
        (folder / "shown").write_text(f"{shown}\n")
    for name in ("umount", "date", "touch", "mount"):
        asked = f"case $2 in -d) {DATES[bits]}; exit ;; esac\n" if name == "date" else ""
        said = "$1 $2" if name == "touch" else "$*"  # not all that lies in the root
        called = f'echo "{name} {said}" >>"$CALLS"'
        (folder / name).write_text(f"#!/bin/sh\n{asked}{called}\n")
        (folder / name).chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    subprocess.run(
        ["sh", "-c", found[0].replace(SHOWS, str(folder / "shown"))],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls)},
        check=True,
    )
    return calls.read_text().splitlines()


@pytest.mark.parametrize("shown", ["2114380800", "2147483647", "2148681600", "4102444800"])
def test_the_clock_begins_anew_with_the_files(tmp_path: Path, shown: str) -> None:
    assert done(tmp_path, shown, 32) == DONE


@pytest.mark.parametrize("shown", [None, "", "0", "-1388534400", "1795766400", "2114380799", "?"])
def test_a_sane_clock_is_left_alone_and_so_is_none(tmp_path: Path, shown: str | None) -> None:
    assert done(tmp_path, shown, 32) == []


def test_programs_of_64_bits_keep_theirs(tmp_path: Path) -> None:
    assert done(tmp_path, "2148681600", 64) == []
