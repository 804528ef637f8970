"""A trigger strikes at exactly one log position."""

import threading
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.store import PowerLost, Store
from harness.boards.qemu.nbd.watch import Watch
from harness.medium.model import Event, Loss, LossKind, Stage, Trigger

from .reference import content

ALL = Loss(kind=LossKind.ALL)


@pytest.mark.parametrize(("before", "written"), [(True, 4), (False, 5)])
@pytest.mark.parametrize("fua", [False, True])
def test_the_fifth_write(
    store: Store, folder: Path, *, before: bool, written: int, fua: bool
) -> None:
    old = content(folder)
    store.arm(Trigger(stages=(Stage(event=Event.WRITES, count=5),), before=before))
    era = store.attach()
    answered = []

    def board() -> None:
        with pytest.raises(PowerLost):
            for number in range(10):
                store.write(era, b"x" * 512, number * 512, fua=fua)
                answered.append(number)

    thread = threading.Thread(target=board)
    thread.start()
    assert store.wait_tripped(10)
    # a write that was never answered was never promised, FUA or not
    assert store.pending == ((0 if before else 1) if fua else written)
    cut = store.drop(ALL)
    store.release()
    thread.join(10)
    assert answered == [0, 1, 2, 3]
    assert cut.position == written
    assert content(folder) == b"x" * 512 * written + old[written * 512 :]


def test_a_frozen_medium_answers_nothing(store: Store) -> None:
    era = store.attach()
    store.freeze()
    outcomes: list[str] = []

    def read() -> None:
        try:
            store.read_into(era, bytearray(512), 0)
            outcomes.append("answered")
        except PowerLost:
            outcomes.append("power lost")

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive() and outcomes == []
    store.release()
    thread.join(10)
    assert outcomes == ["power lost"]


def test_bytes_are_counted_inside_the_region() -> None:
    stage = Stage(event=Event.BYTES, count=2048, offset=4096, length=4096)
    watch = Watch(Trigger(stages=(stage,)))
    assert not watch.written(0, 4096)  # ends where the region begins
    assert not watch.written(3584, 1024)  # 512 inside
    assert not watch.written(7680, 8192)  # 512 inside: 1024
    assert not watch.written(4096, 512)  # 1536
    assert watch.written(4096, 4096)  # brings the sum over 2048


def test_stages_follow_each_other() -> None:
    stages = (
        Stage(event=Event.MARK, name="install"),
        Stage(event=Event.WRITES, offset=0, length=512, count=2),
        Stage(event=Event.WRITES),
    )
    watch = Watch(Trigger(stages=stages))
    assert not watch.written(0, 512)  # the mark has not come
    assert not watch.marked("boot")
    assert not watch.marked("install")
    assert not watch.written(512, 512)  # outside
    assert not watch.written(0, 512)
    assert not watch.written(0, 512)  # completes the second stage, not the third
    assert watch.written(65536, 512)
    assert not watch.written(65536, 512)


@pytest.mark.parametrize(("before", "position"), [(True, 0), (False, 1)])
def test_a_mark_strikes(store: Store, before: bool, position: int) -> None:
    store.arm(Trigger(stages=(Stage(event=Event.MARK, name="switch"),), before=before))
    store.mark("switch")
    assert store.wait_tripped(0)
    store.mark("a mark that comes too late")
    assert store.drop(ALL).position == position


def test_disarmed_and_discards_do_not_strike(store: Store) -> None:
    trigger = Trigger(stages=(Stage(event=Event.WRITES),))
    era = store.attach()
    store.arm(trigger)
    store.trim(era, 0, 512)
    store.disarm()
    store.write(era, bytes(512), 0)
    assert not store.wait_tripped(0)
