"""The same promises through a real NBD client and a real nbdkit."""

import hashlib
import select
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.client import Medium
from harness.errors import LabError
from harness.medium.model import Event, Loss, LossKind, PowerCut, Stage, Trigger
from harness.medium.replay import replay

from .nbd_client import board, done

NONE, ALL = Loss(kind=LossKind.NONE), Loss(kind=LossKind.ALL)
FLUSH_ALWAYS = Path(__file__).with_name("flush_always.py")


def cut_after(medium: Medium, loss: Loss, *commands: str) -> PowerCut:
    """Power on, let the board do `commands`, cut the power."""
    with board(medium.uri, *commands) as process:
        done(process)
        medium.freeze()
    cut = medium.drop(loss)
    medium.release()
    return cut


def check_unflushed_writes_are_lost(medium: Medium) -> None:
    """The check that a medium without a cache must fail (see the negative control)."""
    before = medium.read(8192, 8192)
    cut = cut_after(medium, NONE, "write -P 1 0 8k", "flush", "write -P 2 8k 8k")
    assert medium.read(0, 8192) == b"\1" * 8192
    assert medium.read(8192, 8192) == before, "a write that was never flushed survived"
    assert cut.unflushed == 1


def test_unflushed_writes_are_lost(medium: Medium) -> None:
    check_unflushed_writes_are_lost(medium)


def test_negative_control(tmp_path: Path, image: Path) -> None:
    with Medium(tmp_path / "served", plugin=FLUSH_ALWAYS) as medium:
        medium.load(image)
        with pytest.raises(AssertionError, match="never flushed survived"):
            check_unflushed_writes_are_lost(medium)


def test_unflushed_writes_are_kept(medium: Medium) -> None:
    cut = cut_after(medium, ALL, "write -P 1 0 4k", "write -P 2 4k 4k")
    assert medium.read(0, 8192) == b"\1" * 4096 + b"\2" * 4096
    assert (cut.unflushed, cut.kept) == (2, (0, 1))


def test_fua_alone_is_stable(medium: Medium) -> None:
    before = medium.read(0, 4096)
    cut = cut_after(medium, NONE, "write -P 1 0 4k", "write -f -P 2 4k 4k")
    assert medium.read(0, 8192) == before + b"\2" * 4096
    assert cut.unflushed == 1


def test_zeroes_and_discards_can_be_lost(medium: Medium) -> None:
    before = medium.read(0, 16384)
    cut = cut_after(medium, NONE, "write -z 0 8k", "discard 8k 8k")
    assert cut.unflushed == 2
    assert medium.read(0, 16384) == before
    cut_after(medium, ALL, "write -z 0 8k", "discard 8k 8k")
    assert medium.read(0, 16384) == bytes(16384)


def test_a_board_reads_its_unflushed_writes(medium: Medium) -> None:
    with board(medium.uri, "write -P 9 0 8k", "read -v 4k 16") as process:
        assert "09 09 09 09" in done(process)
        assert medium.pending() == 1


@pytest.mark.parametrize(("before", "written"), [(True, 2), (False, 3)])
def test_a_trigger_at_the_third_write(medium: Medium, before: bool, written: int) -> None:
    old = medium.read(0, 4 * 4096)
    medium.arm(Trigger(stages=(Stage(event=Event.WRITES, count=3),), before=before))
    commands = [f"write -P {number + 1} {number * 4096} 4k" for number in range(4)]
    with board(medium.uri, *commands) as process:
        assert medium.wait_tripped(10)
        assert medium.position() == written
    cut = medium.drop(ALL)
    new = b"".join(bytes([number + 1]) * 4096 for number in range(written))
    assert medium.read(0, 4 * 4096) == new + old[len(new) :]
    assert cut.position == written
    assert process.returncode == -9, "the board went on although its medium was frozen"


def test_a_frozen_medium_blocks_the_board_until_it_is_dead(medium: Medium, image: Path) -> None:
    medium.freeze()
    medium.drop(NONE)
    with pytest.raises(LabError, match="refused"):
        medium.load(image)
    medium.release()
    medium.arm(Trigger(stages=(Stage(event=Event.WRITES),), before=True))
    with board(medium.uri, "write -P 1 0 4k") as process:
        assert medium.wait_tripped(10)
        assert process.stdout
        answered, _, _ = select.select([process.stdout], [], [], 0.3)
        assert not answered, "the board got an answer"
        medium.release()  # a board that still lived would now see its request fail
        assert b"write failed" in process.stdout.readline()
    assert medium.position() == 1  # the cut from above, and no write


def test_one_cut_instant_many_losses(medium: Medium, tmp_path: Path) -> None:
    commands = [f"write -P {number + 1} {number * 4096} 4k" for number in range(6)]
    with board(medium.uri, *commands) as process:
        done(process)
        medium.freeze()
    medium.save(tmp_path / "saved")
    states = {}
    for loss in (NONE, ALL, *(Loss(kind=LossKind.TORN, seed=seed) for seed in range(6))):
        medium.restore(tmp_path / "saved")
        assert medium.pending() == 6
        cut = medium.drop(loss, digest=True)
        medium.release()
        assert cut.sha256 == medium.sha256(0, 49152)
        states[str(loss)] = cut.sha256
    assert len(set(states.values())) == len(states)
    with pytest.raises(LabError, match="not empty"):
        medium.save(tmp_path / "saved")


def test_replay_equals_what_the_board_left(medium: Medium, image: Path, tmp_path: Path) -> None:
    cut_after(medium, Loss(kind=LossKind.TORN, seed=2), "write -P 1 0 8k", "write -P 2 4k 8k")
    cut_after(medium, Loss(kind=LossKind.SOME, seed=1), "write -P 3 0 16k", "discard 4k 4k")
    replay(image, medium.write_log, medium.position(), tmp_path / "replayed.img")
    whole = (tmp_path / "replayed.img").read_bytes()
    assert hashlib.sha256(whole).hexdigest() == medium.sha256(0, 49152)


def test_an_sd_card_offers_no_flush(tmp_path: Path, image: Path) -> None:
    with Medium(tmp_path / "card", model="sd") as card:
        card.load(image)
        cut = cut_after(card, NONE, "write -P 1 0 4k", "flush", "write -P 2 4k 4k")
        assert cut.unflushed == 0
        assert card.position() == 3  # two writes and the cut: a flush never came
        assert card.read(0, 8192) == b"\1" * 4096 + b"\2" * 4096
