"""The QEMU board with a real QEMU and a real medium: boots, logs, cuts, saved states."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.boards.board import Board
from harness.boards.lab import open_board
from harness.boards.share import Share
from harness.deadline import Deadline
from harness.errors import ConfigurationError, DeviceError, LabError
from harness.medium.model import Event, Loss, LossKind, Stage, Trigger
from tests.unit.boards import guest

NONE, ALL = Loss(kind=LossKind.NONE), Loss(kind=LossKind.ALL)


def key(board: Board, text: str) -> None:
    guest.device(board).console.write(text.encode())


def logs(board: Board) -> list[bytes]:
    return [log.read_bytes() for log in board.console_logs]


def booted(board: Board, boots: int = 1) -> None:
    board.expect("boot\r\n", 20)
    assert board.boots == boots


def test_one_log_a_boot_whatever_resets_the_guest(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "abr")
    booted(board, 2)
    key(board, "hit")
    booted(board, 3)
    board.power_off()
    board.power_on()
    booted(board, 4)
    assert logs(board) == [b"boot\r\nab", b"boot\r\nhi", b"boot\r\n", b"boot\r\n"]
    assert [log.name for log in board.console_logs] == [f"boot-{n}.log" for n in (1, 2, 3, 4)]


def test_what_an_earlier_boot_got_is_not_forgotten(board: Board, image: Path) -> None:
    """A reset, and then nothing to say of the boot that has just begun: the one before counts."""
    board.power_on()
    booted(board)
    key(board, "r")
    booted(board, 2)
    board.power_off()
    assert board.share().ran > 0
    board.flash(image)
    assert board.share() == Share()


def test_what_was_said_before_power_on_is_not_heard_after_it(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "shiny")
    board.expect("shin", 10)
    board.power_off()
    board.power_on()
    with pytest.raises(DeviceError, match="did not show 'shiny'"):
        board.expect("shiny", 0.3)
    booted(board, 2)


def test_poweroff_by_the_guest_is_off(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "p")
    with pytest.raises(DeviceError, match="went off"):
        board.expect("never", 20)
    assert not board.is_on
    with pytest.raises(LabError, match="off"):
        guest.device(board).ssh_port  # noqa: B018
    board.power_on()
    booted(board, 2)


def test_endless_output_is_complete_to_the_last_byte(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "e")
    board.expect("9012345678", 20)
    board.can.choose_loss.cut(NONE)
    (log,) = logs(board)
    digits = log.removeprefix(b"boot\r\n")
    assert digits == (b"0123456789" * (len(digits) // 10 + 1))[: len(digits)]


@pytest.mark.parametrize(("loss", "survives"), [(NONE, False), (ALL, True)])
def test_a_cut_takes_what_was_not_flushed(board: Board, loss: Loss, survives: bool) -> None:
    board.power_on()
    booted(board)
    key(board, "w")
    board.expect("W", 10)
    cut = board.can.choose_loss.cut(loss)
    assert cut.unflushed == 1
    assert any(board.can.medium_read.read(512, 512)) == survives


def test_what_was_flushed_survives(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "wf")
    board.expect("WF", 10)
    assert board.can.choose_loss.cut(NONE).unflushed == 0
    assert board.can.medium_read.read(512, 190) == board.can.medium_read.read(
        0, 190
    )  # its code; its data has changed in RAM


def test_an_armed_cut_strikes_at_the_write(board: Board) -> None:
    stage = Stage(event=Event.WRITES, offset=512, length=512)
    board.can.cut_at_write.arm(Trigger(stages=(stage,), before=True))
    board.power_on()
    booted(board)
    with pytest.raises(DeviceError, match=r"did not strike in 0\.2 s"):
        board.can.cut_at_write.wait_cut(0.2)
    assert not board.can.cut_at_write.wait_cut(10, unless=lambda: True)
    key(board, "w")
    assert board.can.cut_at_write.wait_cut(10, unless=lambda: False)
    assert logs(board) == [b"boot\r\n"]  # the guest was never told
    assert board.can.choose_loss.cut(ALL).unflushed == 0
    board.power_on()
    booted(board, 2)


def test_a_trigger_stays_armed_over_a_reset(board: Board) -> None:
    stages = (Stage(event=Event.MARK, name="boot 2"), Stage(event=Event.WRITES, count=1))
    board.power_on()
    booted(board)
    board.can.cut_at_write.arm(Trigger(stages=stages))
    key(board, "wr")
    booted(board, 2)
    key(board, "w")
    board.can.cut_at_write.wait_cut(10)
    board.can.choose_loss.cut(NONE)
    assert board.boots == 2


def test_one_instant_under_two_losses(board: Board) -> None:
    board.power_on()
    booted(board)
    board.can.cut_at_write.arm(Trigger(stages=(Stage(event=Event.WRITES),)))
    key(board, "w")
    board.can.cut_at_write.wait_cut(10)
    state = board.can.save.save("struck")
    with pytest.raises(LabError, match="decide the losses"):
        board.power_on()
    for loss, survives in [(ALL, True), (NONE, False), (ALL, True)]:
        board.can.save.restore(state)
        assert not board.is_on
        assert board.can.choose_loss.cut(loss).unflushed == 1
        assert any(board.can.medium_read.read(512, 512)) == survives
    board.power_on()
    booted(board, 2)


def test_saved_state_brings_back_ram_medium_and_log(board: Board) -> None:
    board.power_on()
    booted(board)
    key(board, "cc")
    board.expect("12", 10)
    state = board.can.save.save("two")
    key(board, "cw")
    board.expect("3W", 10)
    for _ in range(2):
        board.can.save.restore(state)
        assert board.boots == state.boots == 1
        assert not any(board.can.medium_read.read(512, 512))
        key(board, "c")
        board.expect("3", 10)
        assert logs(board) == [b"boot\r\n123"]
    key(board, "r")
    booted(board, 2)


def test_of_a_machine_that_cannot_be_saved_the_medium_is(lab: Path, image: Path) -> None:
    with open_board(lab, "usb") as board:
        board.flash(image)
        board.power_on()
        booted(board)
        key(board, "w")
        board.expect("W", 10)
        state = board.can.save.save("off")
        assert (state.running, board.is_on) == (False, True)
        key(board, "w")  # it goes on
        board.expect("W", 10)
        for _ in range(2):
            board.can.save.restore(state)
            assert not board.is_on
            assert any(board.can.medium_read.read(512, 512))
            board.power_on()
            booted(board, 2)
            board.can.choose_loss.freeze()
            assert not board.can.save.save("dead").running


def test_what_the_medium_loses_while_off_stays_lost(board: Board) -> None:
    board.power_on()
    booted(board)
    with pytest.raises(LabError, match="power off first"):
        board.can.medium_write.overwrite(0, bytes(512))
    board.power_off()
    board.can.medium_write.overwrite(0, bytes(512))
    assert not any(board.can.medium_read.read(0, 512))


def test_saved_state_outlives_another_flash(board: Board, image: Path) -> None:
    board.power_on()
    booted(board)
    key(board, "c")
    board.expect("1", 10)
    state = board.can.save.save("one")
    board.flash(image)
    board.power_on()
    booted(board)
    board.can.save.restore(state)
    key(board, "c")
    board.expect("2", 10)
    board.close()
    assert not state.folder.exists()


def test_wait_boots(board: Board) -> None:
    board.power_on()
    booted(board)
    with pytest.raises(DeviceError, match="boot 2 did not come"):
        board.wait_boots(2, 0.1)
    key(board, "r")
    board.wait_boots(2, 20)


def test_two_boards_side_by_side(board: Board, lab: Path, image: Path) -> None:
    with open_board(lab, "two") as other:
        other.flash(image)
        for each in (board, other):
            each.power_on()
        for each in (board, other):
            booted(each)
        key(board, "x")
        key(other, "y")
        board.expect("x", 10)
        other.expect("y", 10)
        assert logs(board) == [b"boot\r\nx"]


def test_a_board_has_one_user(board: Board, lab: Path) -> None:
    with (
        pytest.raises(LabError, match=f"in use by process {os.getpid()}"),
        open_board(lab, "one"),
    ):
        pass
    board.close()
    with open_board(lab, "one") as again:
        again.power_on()
        booted(again)


def test_unflashed_board_says_so(lab: Path) -> None:
    with open_board(lab, "one") as empty, pytest.raises(LabError, match="flash an image first"):
        empty.power_on()


def test_wrong_lab_files(lab: Path, tmp_path: Path) -> None:
    for file, name, message in [
        (tmp_path / "none.yaml", "one", "No such file"),
        (lab, "three", "no board 'three'\nhint: it has: far, one, rack, two"),
        (lab, "rack", r"targets.rack.options.machine is missing"),
    ]:
        with pytest.raises(ConfigurationError, match=message), open_board(file, name):
            pass


def test_qemu_that_cannot_start_says_why(lab: Path, image: Path) -> None:
    lab.write_text(lab.read_text().replace("machine: pc", "machine: toaster"))
    with open_board(lab, "one") as broken:
        broken.flash(image)
        with pytest.raises(LabError, match=r"did not start\n.*toaster"):
            broken.power_on()


_ON = """
import sys, time
from pathlib import Path
from harness.boards.lab import open_board
from harness.errors import LabError
with open_board(Path(sys.argv[1]), "one") as board:
    board.flash(Path(sys.argv[2]))
    board.power_on()
    board.expect("boot", 20)
    print("on", flush=True)
"""
_HOLDS = f"{_ON}    time.sleep(60)\n"


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_harness_leaves_no_process(
    lab: Path, image: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, lab, image],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as user:
        assert user.stdout
        assert user.stdout.readline() == b"on\n"
        assert _commands(tmp_path)
        user.send_signal(blow)
        user.wait(20)
    deadline = Deadline(10)  # the kernel kills them; it need not have finished yet
    while _commands(tmp_path) and not deadline.over:
        pass
    assert not _commands(tmp_path)
    if blow is signal.SIGINT:  # in order: the medium can be used again
        with open_board(lab, "one") as again:
            assert again.can.medium_read.read(0, 512) == guest.image()[:512]


def _commands(folder: Path) -> list[str]:
    """Command lines of all living QEMU and nbdkit processes that use `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        tool = words[0].startswith(("qemu-system", "nbdkit"))
        if tool and str(folder) in " ".join(words):
            found.append(" ".join(words))
    return found


_STOPPED = f"""{_ON}
    sys.stdin.readline()
    try:
        board.check_lab()
        print("well")
    except LabError as error:
        print(error.brief)
    board.flash(Path(sys.argv[2]))
    board.check_lab()
    print("begun anew")
"""


@pytest.mark.parametrize("stopped", [True, False])
def test_a_harness_that_was_stopped_is_the_labs_trouble(
    lab: Path, image: Path, stopped: bool
) -> None:
    """Ctrl-Z: QEMU and nbdkit went on, update server and proxy did not, and what came of that was
    called the device's failure. And, the control, one that went on."""
    argv = [sys.executable, "-c", _STOPPED, str(lab), str(image)]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as user:
        assert user.stdout
        assert user.stdout.readline() == "on\n"
        if stopped:
            user.send_signal(signal.SIGSTOP)
            with pytest.raises(subprocess.TimeoutExpired):
                user.wait(15)
            user.send_signal(signal.SIGCONT)
        told, _ = user.communicate("\n", timeout=60)
    trouble = "the bench is too busy to tell: the harness itself had no time for"
    assert (trouble in told) is stopped, told
    assert told.endswith("begun anew\n")
