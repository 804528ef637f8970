"""An SD card knows no flush: what was answered is stable, only the struck write is in doubt."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.medium.model import Cut, Event, Loss, LossKind, Model, Stage, Trigger
from harness.boards.medium.store import PowerLost, Store

from .reference import content


@pytest.fixture
def card(folder: Path, image: Path) -> Iterator[Store]:
    store = Store(folder, Model.SD)
    store.load(image)
    yield store
    store.close()


def _struck(card: Store, loss: Loss) -> Cut:
    """Two answered writes, and a third that the power cut meets on the way."""
    card.arm(Trigger(stages=(Stage(event=Event.WRITES, count=3),)))
    era = card.attach()

    def board() -> None:
        with pytest.raises(PowerLost):
            for number in (1, 2, 3):
                card.write(era, bytes([number]) * 2048, 0)

    thread = threading.Thread(target=board)
    thread.start()
    assert card.wait_tripped(10)
    cut = card.drop(loss)
    card.release()
    thread.join(10)
    return cut


def test_answered_writes_are_stable(card: Store, folder: Path) -> None:
    card.write(card.attach(), b"x" * 4096, 0)
    assert card.pending == 0
    card.freeze()
    cut = card.drop(Loss(kind=LossKind.NONE))
    assert (cut.unflushed, cut.kept) == (0, ())
    assert content(folder)[:4096] == b"x" * 4096


def test_the_struck_write_is_lost_with_none(card: Store, folder: Path) -> None:
    cut = _struck(card, Loss(kind=LossKind.NONE))
    assert (cut.unflushed, cut.kept) == (1, ())
    assert content(folder)[:2048] == b"\2" * 2048


def test_the_struck_write_is_there_with_all(card: Store, folder: Path) -> None:
    assert _struck(card, Loss(kind=LossKind.ALL)).kept == (2,)
    assert content(folder)[:2048] == b"\3" * 2048


def test_the_struck_write_is_torn(card: Store, folder: Path) -> None:
    cut = _struck(card, Loss(kind=LossKind.TORN, seed=1))
    assert cut.torn and cut.torn[0] == 2
    new = cut.torn[1] * 512
    assert 0 < new < 2048
    assert content(folder)[:2048] == b"\3" * new + b"\2" * (2048 - new)
