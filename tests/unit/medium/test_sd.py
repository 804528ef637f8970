"""An SD card knows no flush: what was answered is stable, only the struck write is in doubt."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.store import PowerLost, Store
from harness.medium.model import Event, Loss, LossKind, Model, PowerCut, Stage, Trigger

from .reference import content


@pytest.fixture
def card(folder: Path, image: Path) -> Iterator[Store]:
    store = Store(folder, Model.SD)
    store.load(image)
    yield store
    store.close()


def _struck(card: Store, loss: Loss) -> PowerCut:
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


def _cached(folder: Path, image: Path, cut_at: str) -> tuple[PowerCut, bytes]:
    """Four answered writes to a card that may have two of them in its cache; cut with a loss."""
    store = Store(folder, Model.SD, cache=2)
    store.load(image)
    era = store.attach()
    for number in range(4):
        store.write(era, bytes([number]) * 1024, number * 1024, fua=number == 2)
    store.freeze()
    cut = store.drop(Loss.parse(cut_at))
    store.close()
    return cut, content(folder)


@pytest.mark.parametrize(
    ("loss", "kept"),
    [("none", (0, 1, 2, 3)), ("none~1", (0, 1, 2)), ("none~2", (0, 1, 2)), ("all~2", (0, 1, 2, 3))],
)
def test_a_card_with_a_cache_loses_what_it_answered(
    folder: Path, image: Path, loss: str, kept: tuple[int, ...]
) -> None:
    """As many of the last writes as the loss says, but for a FUA write."""
    cut, left = _cached(folder, image, loss)
    assert cut.loss == loss
    expected = bytearray(image.read_bytes())
    for number in kept:
        expected[number * 1024 : (number + 1) * 1024] = bytes([number]) * 1024
    assert left == bytes(expected)


def test_a_cache_is_not_larger_than_it_was_said_to_be(folder: Path, image: Path) -> None:
    with pytest.raises(ValueError, match="~3: this medium only keeps 2 answered writes"):
        _cached(folder, image, "none~3")
    with pytest.raises(ValueError, match="a disk has a cache anyway"):
        Store(folder, Model.DISK, cache=2)


def test_what_a_card_has_in_its_cache_outlives_its_server(folder: Path, image: Path) -> None:
    for number in range(5):
        store = Store(folder, Model.SD, cache=2)
        if not number:
            store.load(image)
        store.write(store.attach(), bytes([number]) * 512, 0)
        store.close()
    store = Store(folder, Model.SD, cache=2)
    store.freeze()
    assert store.drop(Loss.parse("none~2")).unflushed == 2
    store.close()
    assert content(folder)[:512] == bytes([2]) * 512
