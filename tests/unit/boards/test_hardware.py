"""Boards on labgrid's stock drivers: power that is believed when it is seen, boots by a banner."""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import serial  # type: ignore[import-untyped]

from harness.boards import bench
from harness.boards.board import Board
from harness.boards.capability import Capability
from harness.boards.console import Console
from harness.boards.hardware import cuts
from harness.boards.hardware.board import HardwareBoard
from harness.boards.hardware.relay import RelayCall
from harness.boards.hardware.serial_line import BootSplitter, SerialLine
from harness.boards.lab import open_board
from harness.boards.onlooker import Onlooker
from harness.deadline import Deadline
from harness.errors import ConfigurationError, DeviceError, LabError
from harness.judge.trouble import lab_trouble
from harness.log import Event, sink
from tests.unit.boards.fake_bench import BANNER, FakeDevice, lab, served

Opened = Callable[..., AbstractContextManager[Board]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    (tmp_path / "home/pki").mkdir(parents=True)

    @contextmanager
    def _opened(device: FakeDevice, options: str = "virtual: true") -> Iterator[Board]:
        with served(device):
            file = tmp_path / "lab.yaml"
            file.write_text(lab(device, options.replace("PORT", str(device.http_port))))
            with open_board(file, "desk") as board:
                yield board

    return _opened


def text(board: Board) -> list[str]:
    return [log.read_text() for log in board.console_logs]


def heard(board: Board, *, boots: int) -> None:
    board.wait_boots(boots, timeout=5)
    board.expect("login: ", timeout=5)


def test_each_banner_after_the_first_is_a_boot(opened: Opened) -> None:
    device = FakeDevice()
    with opened(device) as board:
        assert (board.boots, board.is_on, set(board.can)) == (0, False, set())
        board.power_on()
        heard(board, boots=1)
        device.reset()
        heard(board, boots=2)
        board.power_off()
        assert not board.is_on
        board.power_on()
        heard(board, boots=3)
        assert [log.startswith("boot selection") for log in text(board)] == [True] * 3
    assert not device.on


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_banner_in_pieces_is_one_and_lies_in_its_own_log(tmp_path: Path, size: int) -> None:
    console = Console(tmp_path)
    console.reopen()
    splitter = BootSplitter(console, "boot selection: slot")
    splitter.begin()
    said = b"\0junk" + BANNER + b"one\r\nhalf a line" + BANNER + b"two\r\n" + BANNER + b"login: "
    for at in range(0, len(said), size):
        splitter.feed(said[at : at + size])
    assert [log.read_bytes() for log in console.logs] == [
        b"\0junk" + BANNER + b"one\r\nhalf a line",
        BANNER + b"two\r\n",
        BANNER + b"login: ",
    ]
    console.close_input()


def test_a_cut_is_measured_and_counted_for_its_card(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.boards.hardware.relay.SLOW", 60.0)  # as slow as this host may be
    device = FakeDevice(talks=True, late=0.3)
    with opened(device) as board:
        assert isinstance(board, HardwareBoard)
        board.power_on()
        heard(board, boots=1)
        time.sleep(0.2)
        with board.relay.measuring():
            board.power_off()
        assert board.relay.latencies[0] > 0.25
        assert cuts.history("CARD-1").cuts == 1
        board.power_on()
        board.power_off()
        assert len(board.relay.latencies) == 1  # whatever it was saying
        board.power_on()
        board.power_off()
    assert cuts.history("CARD-1").cuts == 3


def test_a_board_that_falls_silent_by_itself_measures_nothing() -> None:
    """Its last byte came 30 ms after the request, by chance; the relay took 300."""
    call = RelayCall(
        action="off", answered=0.3, heard=0.03, talking=True, measures=False, said="off"
    )
    assert call.latency is None
    assert replace(call, measures=True).latency == 0.03
    assert replace(call, measures=True, talking=False).latency is None


def test_what_another_thread_is_about_ends_with_the_power(opened: Opened) -> None:
    """An update that waits for its board must not meet the boot after the cut."""
    device = FakeDevice()
    ended: list[Exception] = []
    key = Path(os.environ["HARNESS_HOME"]) / "pki/ssh_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def update(board: Board) -> None:
        try:
            board.run("true", timeout=60)
        except DeviceError as error:
            ended.append(error)

    with opened(device) as board:
        board.power_on()
        heard(board, boots=1)
        thread = threading.Thread(target=update, args=[board], daemon=True)
        thread.start()
        time.sleep(0.5)
        board.power_off()
        board.power_on()
        thread.join(20)
        assert not thread.is_alive()
        assert "hung up" in str(ended[0])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"welded": True}, "the board still speaks"),
        ({"welded": True, "talks": True}, "the board still speaks"),
        ({"lies": True}, "says that it is on"),
        ({"hangs": True}, "no answer within 2 s"),
    ],
)
def test_off_is_believed_when_it_is_seen(opened: Opened, fault: dict[str, bool], told: str) -> None:
    device = FakeDevice()
    with pytest.raises(LabError, match=told), opened(device) as board:
        board.power_on()
        heard(board, boots=1)
        for name, value in fault.items():
            setattr(device, name, value)
        board.power_off()


def test_wrong_speed_is_trouble_of_the_lab(opened: Opened) -> None:
    device = FakeDevice(garbled=True, says=BANNER * 200)
    told = "bytes on the serial port are no text"
    with pytest.raises(LabError, match=told), opened(device) as board:
        board.power_on()
        board.expect("login: ", timeout=3)


def test_a_serial_port_that_vanishes_is_trouble_of_the_lab(opened: Opened) -> None:
    device = FakeDevice()
    with pytest.raises(LabError, match="serial port has failed"), opened(device) as board:
        board.power_on()
        heard(board, boots=1)
        device.vanish()
        board.wait_boots(2, timeout=5)


def test_what_a_virtual_board_does_not_do_is_a_verdict_only_when_it_was_well_fed(
    opened: Opened,
) -> None:
    device = FakeDevice()
    with opened(device) as board:
        trouble = lab_trouble(board, "no health")
        assert trouble
        assert "nobody says what it got" in str(trouble)
        assert "no health" in str(trouble)
    share = "virtual: true\n      share: http://127.0.0.1:PORT/share"
    with opened(device, share) as board:
        board.power_on()
        heard(board, boots=1)
        board.power_off()
        device.fed = '{"boots": [{"ran": 100.0, "waited": 20.0}]}'
        assert lab_trouble(board, "no health") is None  # a failure of the device
        device.fed = '{"boots": [{"ran": 100.0, "waited": 120.0}]}'
        told = str(lab_trouble(board, "no health"))
        assert "too busy to tell: it had a CPU for 100 s, and waited 120 s for one" in told
        device.fed = '{"boots": [{"ran": 100.0}], "trouble": "QEMU ended"}'
        assert "QEMU ended" in str(lab_trouble(board, "no health"))


def test_only_a_virtual_board_is_played(opened: Opened) -> None:
    told = r"targets\.desk\.options\.share: is of a board with `virtual: true`"
    options = "virtual: false\n      share: http://127.0.0.1/share"
    with pytest.raises(ConfigurationError, match=told), opened(FakeDevice(), options):
        pytest.fail("it was opened")
    with (
        pytest.raises(ConfigurationError, match="is no http://HOST"),
        opened(FakeDevice(), "virtual: true\n      share: 127.0.0.1/share"),
    ):
        pytest.fail("it was opened")


def test_what_is_no_hardware_must_say_so(opened: Opened) -> None:
    told = r"options\.virtual is missing: its address 127.0.0.1 is this host"
    with pytest.raises(ConfigurationError, match=told), opened(FakeDevice(), "virtual: false"):
        pytest.fail("it was opened")


def test_a_network_of_the_lab_that_hangs_is_set_up_again_and_is_no_failure(
    opened: Opened,
) -> None:
    """As on boards that QEMU plays: `network_reset` over the console, and who answers itself has
    not failed."""
    device = FakeDevice(answers=b"SSH-2.0-fake\r\n")
    options = "virtual: true\n      network_reset: set it up\n      ssh_patience: 2"
    key = Path(os.environ["HARNESS_HOME"]) / "pki/ssh_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with opened(device, options) as board:
        board.power_on()
        heard(board, boots=1)
        with pytest.raises(DeviceError, match="no connection within 2 s"):  # it never could be
            board.run("true", timeout=1)
        assert device.commands == ["set it up"]


@pytest.mark.parametrize(
    ("shell", "kind"),
    [(b"fine\r\n", None), (b"\xf8\xff", LabError), (None, DeviceError)],
)
def test_what_a_shell_on_the_console_does_not_say_is_told(
    opened: Opened, shell: bytes | None, kind: type[Exception] | None
) -> None:
    """labgrid's driver raises what was under it: UnicodeDecodeError for bytes that are no text."""
    device = FakeDevice(answers=shell)
    with opened(device) as board:
        assert isinstance(board, HardwareBoard)
        board.power_on()
        heard(board, boots=1)
        asked = contextlib.nullcontext() if kind is None else pytest.raises(kind)
        with asked:
            board.login(5)
            assert kind is not DeviceError
            with board._speaking("no end", 5):
                said, _, _ = board._parts.shell.run("true", timeout=5)
                assert said == ["fine"]


def test_a_shell_that_wants_another_password_is_trouble_of_the_lab(opened: Opened) -> None:
    device = FakeDevice(says=BANNER + b"login: Password: ")
    with opened(device) as board, pytest.raises(LabError, match="no password set"):
        board.power_on()
        board.wait_boots(1, timeout=5)
        board.login(10)


def test_a_board_has_one_user(opened: Opened, tmp_path: Path) -> None:
    again = open_board(tmp_path / "lab.yaml", "desk")
    with opened(FakeDevice()), pytest.raises(LabError, match="is in use by process"), again:
        pytest.fail("it was opened twice")


def test_what_only_a_mux_can_do_is_lacking_without_one(opened: Opened, tmp_path: Path) -> None:
    with opened(FakeDevice()) as board:
        assert Capability.MEDIUM_READ not in board.can
        with pytest.raises(LabError, match="no SD mux"):
            board.flash(tmp_path / "lab.yaml")


def test_a_bench_session_holds_a_board(opened: Opened, tmp_path: Path) -> None:
    """`harness power BOARD on`, `status`, `off`, by whoever sits at the bench."""
    device = FakeDevice()
    lab_file = tmp_path / "lab.yaml"
    with served(device):
        lab_file.write_text(lab(device))
        assert "its power is not known" in bench.power("desk", "status", lab=lab_file)
        steps: list[Event] = []
        with sink(steps.append):
            assert "boot 1 since flashing" in bench.power("desk", "on", lab=lab_file)
        begun = [each["step"] for each in steps if each["event"] == "begin"]
        assert begun == ["power on", "ask who has the boards"]
        [status] = bench.status(lab=lab_file)
        assert (status.power, status.boots, status.ssh_port) == ("on", 1, 9)
        assert bench.address_of("desk") == ("127.0.0.1", 9)
        onlooker = Onlooker(name="desk", lab=lab_file)
        deadline = Deadline(10)
        while "login:" not in onlooker.tail(3) and not deadline.over:
            time.sleep(0.1)
        assert onlooker.tail(3) == ["boot selection: slot A", "hello", "login:"]
        with pytest.raises(LabError, match="is in use by process"), open_board(lab_file, "desk"):
            pytest.fail("it was opened twice")
        bench.power("desk", "off", lab=lab_file)
        assert not device.on
        device.switch(True)  # somebody else
        bench.power("desk", "off", lab=lab_file)
        assert not device.on


def test_a_local_port_is_read_as_well(opened: Opened, tmp_path: Path) -> None:
    """A USB adapter, here a pseudo terminal: a stock RawSerialPort."""
    device = FakeDevice()
    hand, terminal = os.openpty()
    tty.setraw(terminal)
    with served(device):
        port = f"RawSerialPort: {{port: {os.ttyname(terminal)}}}"
        network = f"NetworkSerialPort: {{host: 127.0.0.1, port: {device.port}, protocol: raw}}"
        file = tmp_path / "lab.yaml"
        file.write_text(lab(device).replace(network, port))
        with open_board(file, "desk") as board:
            board.power_on()
            os.write(hand, BANNER + b"login: ")
            board.expect("login: ", timeout=5)
            assert text(board) == ["boot selection: slot A\nlogin: "]
    os.close(hand)
    os.close(terminal)


def test_an_input_that_is_closed_under_its_reader_is_no_failure_of_the_line(tmp_path: Path) -> None:
    """By another boot, which may open its own under the same number."""
    ours, theirs = os.openpty()
    gone = fcntl.fcntl(ours, fcntl.F_DUPFD, 500)  # a number that nobody else gets
    os.close(gone)
    console = cast(Console, SimpleNamespace(input=gone))
    with serial.Serial(os.ttyname(theirs)) as port:
        assert SerialLine("desk", cast(Any, port), console, banner="boot")._next() == b""
    dead = cast(Any, SimpleNamespace(fileno=lambda: gone))
    with pytest.raises(OSError, match="Bad file descriptor"):
        SerialLine("desk", dead, console, banner="boot")._next()
    os.close(ours)
    os.close(theirs)
