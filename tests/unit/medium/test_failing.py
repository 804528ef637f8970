"""A medium that fails: what its board is told, and what is there afterwards."""

import errno
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.nbd.failing import Failings
from harness.boards.qemu.nbd.store import Store
from harness.errors import LabError
from harness.medium.model import (
    Event,
    Failing,
    Loss,
    LossKind,
    Misdeed,
    Model,
    Stage,
    Trigger,
)

from .nbd_client import board, done
from .reference import SIZE

NEW = b"\1" * 4096
NONE = Loss(kind=LossKind.NONE)


def failing(what: Misdeed, offset: int = 4096, length: int = 4096) -> Failing:
    return Failing(what=what, offset=offset, length=length)


def read(store: Store, era: int, offset: int, length: int = 512) -> bytes:
    buffer = bytearray(length)
    store.read_into(era, buffer, offset)
    return bytes(buffer)


@pytest.mark.parametrize("offset", [4096, 7680, 3584])
def test_a_read_that_touches_the_range_fails(store: Store, offset: int) -> None:
    era = store.attach()
    store.fail([failing(Misdeed.READ_ERROR)])
    with pytest.raises(OSError, match="eio-read") as failure:
        read(store, era, offset, 1024)
    assert failure.value.errno == errno.EIO
    read(store, era, 3584)
    read(store, era, 8192)
    store.write(era, NEW, 4096)  # does not mend it
    with pytest.raises(OSError, match="eio-read"):
        read(store, era, offset, 1024)
    store.fail([])
    assert read(store, era, 4096) == NEW[:512]


def test_a_write_that_fails_changes_nothing(store: Store, image: Path) -> None:
    era = store.attach()
    store.fail([failing(Misdeed.WRITE_ERROR)])
    with pytest.raises(OSError, match="eio-write"):
        store.write(era, NEW, 4096, fua=True)
    with pytest.raises(OSError, match="eio-write"):
        store.zero(era, 0, SIZE)
    with pytest.raises(OSError, match="eio-write"):
        store.trim(era, 7680, 1024)
    store.write(era, NEW, 8192)
    assert store.peek(0, 8192) == image.read_bytes()[:8192]
    assert (store.peek(8192, 4096), store.pending) == (NEW, 1)


def test_a_write_that_is_forgotten_is_answered(store: Store, image: Path) -> None:
    era = store.attach()
    store.fail([failing(Misdeed.FORGOTTEN_WRITE, 0, 0)])
    store.write(era, NEW, 4096, fua=True)
    store.flush(era)
    assert read(store, era, 4096, 4096) == image.read_bytes()[4096:8192]
    assert store.pending == 0


@pytest.mark.parametrize("fua", [False, True])
def test_a_flush_that_is_forgotten_makes_nothing_stable(
    store: Store, image: Path, fua: bool
) -> None:
    era = store.attach()
    store.fail([Failing(what=Misdeed.FORGOTTEN_FLUSH)])
    store.write(era, NEW, 4096, fua=fua)
    store.flush(era)
    assert store.pending == 1
    store.freeze()
    store.drop(NONE)
    assert store.peek(4096, 4096) == image.read_bytes()[4096:8192]


def test_how_often_it_has_struck_is_told_when_it_ends(store: Store) -> None:
    era = store.attach()
    assert store.fail([failing(Misdeed.FORGOTTEN_WRITE)]) == 0
    store.write(era, NEW, 8192)
    assert store.fail([failing(Misdeed.FORGOTTEN_WRITE)]) == 0  # nothing was asked for there
    store.write(era, NEW, 4096)
    store.write(era, NEW, 4096)
    assert store.fail([]) == 2
    store.write(era, NEW, 4096)
    assert store.fail([]) == 0


def test_it_begins_when_the_trigger_strikes(store: Store) -> None:
    era = store.attach()
    stages = (Stage(event=Event.WRITES, count=2, offset=0, length=4096),)
    store.fail([Failing(what=Misdeed.WRITE_ERROR)], Trigger(stages=stages))
    store.write(era, NEW, 0)
    store.write(era, NEW, 8192)
    store.write(era, NEW, 0)
    for offset in (0, 8192):
        with pytest.raises(OSError, match="eio-write"):
            store.write(era, NEW, offset)


def test_it_begins_in_the_boot_that_the_trigger_names(store: Store) -> None:
    era = store.attach()
    stages = (
        Stage(event=Event.MARK, name="boot 2"),
        Stage(event=Event.BYTES, count=4096, length=4096),
    )
    store.fail([Failing(what=Misdeed.WRITE_ERROR)], Trigger(stages=stages))
    store.mark("boot 1")
    store.write(era, NEW, 0)
    store.mark("boot 2")
    store.write(era, NEW, 8192)
    store.write(era, NEW, 0)
    with pytest.raises(OSError, match="eio-write"):
        store.write(era, NEW, 8192)
    assert store.fail([]) == 1


def test_it_begins_with_the_request_that_a_trigger_is_before(store: Store, image: Path) -> None:
    era = store.attach()
    stages = (Stage(event=Event.BYTES, offset=0, length=4096),)
    store.fail([Failing(what=Misdeed.WRITE_ERROR)], Trigger(stages=stages, before=True))
    store.write(era, NEW, 8192)
    with pytest.raises(OSError, match="eio-write"):
        store.write(era, NEW, 0)
    assert store.peek(0, 4096) == image.read_bytes()[:4096]


def test_a_discard_begins_nothing(store: Store) -> None:
    era = store.attach()
    stages = (Stage(event=Event.BYTES, offset=0, length=4096),)
    store.fail([Failing(what=Misdeed.WRITE_ERROR)], Trigger(stages=stages))
    store.trim(era, 0, 4096)
    store.write(era, NEW, 8192)


def test_a_slow_request_takes_its_time() -> None:
    slept: list[float] = []
    failings = Failings(slept.append)
    slow = Failing(what=Misdeed.SLOW, offset=4096, length=4096, seconds=2.5)
    failings.set([slow], None, Model.DISK)
    failings.delay(0, 4096)
    failings.delay(8191, 1)
    assert slept == [2.5]


def test_flashing_and_restoring_give_a_medium_that_is_well(
    store: Store, image: Path, tmp_path: Path
) -> None:
    store.save(tmp_path)
    for flashed in (True, False):
        store.fail([Failing(what=Misdeed.WRITE_ERROR)])
        if flashed:
            store.load(image)
        else:
            store.restore(tmp_path)
        store.write(store.attach(), NEW, 0)
        store.freeze()
        store.drop(NONE)
        store.release()


@pytest.mark.parametrize("what", [Misdeed.READ_ERROR, Misdeed.WRITE_ERROR])
def test_qemu_hides_what_an_sd_card_refuses(folder: Path, image: Path, what: Misdeed) -> None:
    store = Store(folder, Model.SD)
    store.load(image)
    with pytest.raises(ValueError, match="SD card"):
        store.fail([Failing(what=what)])
    store.fail([Failing(what=Misdeed.FORGOTTEN_WRITE)])


def test_behind_a_real_server(medium: Medium) -> None:
    """QEMU's NBD client is told of the error, and of a forgotten write that it is done."""
    both = [failing(Misdeed.WRITE_ERROR), failing(Misdeed.FORGOTTEN_WRITE, 8192)]
    before = medium.read(0, 12288)
    medium.fail(both)
    with board(medium.uri, "write -P 1 0 4k", "write -P 1 4k 4k", "write -P 1 8k 4k") as qemu_io:
        said = done(qemu_io)
    assert said.count("wrote 4096/4096") == 2
    assert said.count("write failed: Input/output error") == 1
    assert medium.read(0, 12288) == NEW + before[4096:]


def test_an_unflashed_medium_cannot_fail(tmp_path: Path) -> None:
    with Medium(tmp_path / "empty") as medium, pytest.raises(LabError, match="flash an image"):
        medium.fail([])
