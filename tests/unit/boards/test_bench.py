"""A bench session: the board stays on between commands, and others can watch and type."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards import bench, terminal
from harness.boards.board import Board
from harness.boards.lab import open_board
from harness.boards.qemu.device import run_folder
from harness.deadline import Deadline
from harness.errors import ConfigurationError, LabError


@pytest.fixture
def on(lab: Path, image: Path) -> Iterator[Path]:
    """The lab, with board `one` flashed and switched on by a holder process."""
    bench.flash(image, "one", machine="sector", lab=lab)
    bench.power("one", "on", lab=lab)
    yield lab
    bench.power("one", "off", lab=lab)


def told(lab: Path) -> bench.BoardStatus:
    """Of board `one`."""
    [found] = [each for each in bench.status(lab=lab) if each.board == "one"]
    return found


def logs(number: int) -> bytes:
    return (run_folder("one") / "console" / f"boot-{number}.log").read_bytes()


def test_power_stays_on_until_it_is_switched_off(on: Path) -> None:
    one = told(on)
    assert (one.board, one.machine, one.power, one.boots) == ("one", "sector", "on", 1)
    assert one.holder not in (None, os.getpid())
    assert bench.power("one", "on", lab=on) == bench.power("one", "status", lab=on)
    with pytest.raises(LabError, match=f"in use by process {one.holder}"), open_board(on, "one"):
        pass
    assert "boot 2" in bench.power("one", "cycle", lab=on)
    assert bench.power("one", "cut", lab=on) == "one is off"
    assert told(on).holder is None


def test_what_keeps_a_holder_from_its_board_is_told_as_it_is(lab: Path) -> None:
    """In the words of the process that it happened in, and as the same kind of error."""
    run_folder("one").mkdir(parents=True)
    (run_folder("one") / "flashed.json").write_text('{"image": "disk.img"}')  # by its word alone
    with pytest.raises(LabError, match=r"^one: medium in .*: flash an image first$"):
        bench.power("one", "on", lab=lab)


class Person:
    """At a terminal: a pseudo terminal's other end."""

    def __init__(self, lab: Path) -> None:
        self._hand, self._terminal = os.openpty()
        folder = run_folder("one") / "console"
        ends = {"stdin": self._terminal, "stdout": self._terminal}
        self._thread = threading.Thread(target=terminal.attach, args=[folder], kwargs=ends)
        self._thread.start()

    def sees(self, text: bytes) -> None:
        seen, deadline = b"", Deadline(20)
        while text not in seen:
            assert not deadline.over, seen
            seen += os.read(self._hand, 1024)

    def types(self, text: bytes) -> None:
        os.write(self._hand, text)

    def leaves(self) -> None:
        self.types(terminal.LEAVE)
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._hand)
        os.close(self._terminal)


def test_two_terminals_at_one_console(on: Path) -> None:
    first, second = Person(on), Person(on)
    first.sees(b"boot\r\n")
    second.sees(b"boot\r\n")
    first.types(b"x")
    second.sees(b"x")
    second.types(b"r")
    first.sees(b"boot\r\n")
    first.leaves()
    second.types(b"y")
    second.sees(b"y")
    second.leaves()
    assert (logs(1), logs(2)) == (b"boot\r\nx", b"boot\r\ny")


def test_board_that_switches_itself_off_ends_the_session(on: Path) -> None:
    person = Person(on)
    person.sees(b"boot\r\n")
    person.types(b"p")
    deadline = Deadline(20)
    while told(on).power == "on":
        assert not deadline.over
    person.leaves()
    with pytest.raises(LabError, match="off"):
        bench.console("one", lab=on)


def test_a_test_run_is_not_switched_off(board: Board, lab: Path) -> None:
    board.power_on()
    with pytest.raises(LabError, match="no bench session"):
        bench.power("one", "off", lab=lab)
    assert board.is_on


def test_a_board_that_does_not_come_on_says_why_in_a_line(lab: Path) -> None:
    folder = run_folder("one")
    folder.mkdir(parents=True)
    (folder / "flashed.json").write_text("{}")  # but there is no medium
    with pytest.raises(LabError, match=r"^one: medium in .*: flash an image first$"):
        bench.power("one", "on", lab=lab)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', ""])
def test_what_was_flashed_may_be_unknown(lab: Path, content: str) -> None:
    folder = run_folder("one")
    folder.mkdir(parents=True)
    (folder / "flashed.json").write_text(content)
    assert {each.board: each.version for each in bench.status(lab=lab)}["one"] == "?"


def test_what_cannot_be_done_says_why(lab: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing to boot from\nhint: flash an image"):
        bench.power("one", "on", lab=lab)
    with pytest.raises(LabError, match="is off\nhint: harness power one on"):
        bench.ssh("one", lab=lab)
    with pytest.raises(ConfigurationError, match="no action 'explode'"):
        bench.power("one", "explode", lab=lab)
    with pytest.raises(ConfigurationError, match="no board 'four'"):
        bench.power("four", "on", lab=lab)
    with pytest.raises(ConfigurationError, match="one is a sector, the release is for other"):
        bench.flash(tmp_path / "disk.img", "one", machine="other", lab=lab)
