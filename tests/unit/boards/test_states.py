"""A board on a crash state: boots from it, says what it read, starts with the clock it is told."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.boards.board import Board
from harness.boards.qemu.fixed_boot import FixedBoots
from harness.errors import LabError
from harness.medium.model import Loss
from tests.unit.boards import guest

CLOCK = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def a_state(folder: Path, image: Path) -> Path:
    """The guest's disk, with sector 1 out of another file."""
    log, path = folder / "log.bin", folder / "state.json"
    log.write_bytes(b"x" * 512)
    files = [str(image), str(log)]
    path.write_text(json.dumps({"size": guest.SIZE, "files": files, "extents": [(1, 1, 1, 0)]}))
    return path


def qemu_arguments(board: Board) -> list[str]:
    pid = str(json.loads((guest.device(board).folder / "state.json").read_text())["qemu"])
    return Path("/proc", pid, "cmdline").read_text().split("\0")


def test_boots_reads_and_writes(board: Board, image: Path, tmp_path: Path) -> None:
    board.can.record.load_state(a_state(tmp_path, image), clock=CLOCK, seed=5)
    assert board.can.medium_read.read(512, 512) == b"x" * 512
    board.power_on()
    board.expect("boot\r\n", 20)
    words = qemu_arguments(board)
    assert words[words.index("-rtc") + 1] == "base=2031-05-06T07:08:09,clock=vm"
    assert words[words.index("-seed") + 1] == "5"
    guest.device(board).console.write(b"wf")
    board.expect("WF", 10)
    assert board.can.record.read_set()[0] == (0, 1)
    assert board.can.choose_loss.cut(Loss.parse("none")).unflushed == 0
    assert board.can.medium_read.read(512, 190) == board.can.medium_read.read(0, 190)
    assert board.can.record.write_log.exists()
    board.power_on()
    board.expect("boot\r\n", 20)
    words = qemu_arguments(board)
    assert words[words.index("-rtc") + 1] == "base=2031-05-06T07:18:09,clock=vm"
    with pytest.raises(LabError, match="cannot be saved"):
        board.can.save.save("never")


def test_flash_goes_back_to_normal(board: Board, image: Path, tmp_path: Path) -> None:
    board.can.record.load_state(a_state(tmp_path, image), clock=CLOCK, seed=5)
    assert board.boots == 0
    board.flash(image)
    board.power_on()
    board.expect("boot\r\n", 20)
    assert "-rtc" not in qemu_arguments(board)
    with pytest.raises(LabError, match="only counted on a crash state"):
        board.can.record.read_set()


def test_qemu_knows_the_clock(tmp_path: Path) -> None:
    """What `FixedBoots` gives is what QEMU understands, and its clock waits for the machine."""
    alike = FixedBoots(CLOCK, 1)
    alike.begin_boot()
    argv = ["qemu-system-i386", "-display", "none", "-S", "-qmp", "stdio", *alike.arguments]
    question = '{"execute": "qmp_capabilities"}\n'
    question += (
        '{"execute": "qom-get", "arguments": {"path": "/machine", "property": "rtc-time"}}\n'
    )
    question += '{"execute": "quit"}\n'
    done = subprocess.run(
        argv, input=question, capture_output=True, text=True, timeout=20, check=True
    )
    times = [json.loads(line).get("return") for line in done.stdout.splitlines()]
    # years since 1900, months from 0, as struct tm
    expected = {"tm_year": 131, "tm_mon": 4, "tm_mday": 6, "tm_hour": 7, "tm_min": 8, "tm_sec": 9}
    assert expected in times


def test_each_boot_goes_on_and_is_repeated() -> None:
    first, second = FixedBoots(CLOCK, 1), FixedBoots(CLOCK, 1)
    seen = []
    for alike in (first, second):
        boots = []
        for _ in range(3):
            alike.begin_boot()
            boots.append((alike.arguments, alike.random(64)))
        seen.append(boots)
    assert seen[0] == seen[1]
    assert [arguments[1][:24] for arguments, _ in seen[0]] == [
        f"base=2031-05-06T07:{minute}:09"[:24] for minute in ("08", "18", "28")
    ]
    assert len({randoms for _, randoms in seen[0]}) == 3
