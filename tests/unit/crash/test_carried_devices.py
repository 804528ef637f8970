"""Devices that nobody has thought of, against proofs that carry over from one update to the next.

A device is a function of what it reads, and what it reads next depends on what it has read so far.
One recording is explored to its end with it; then whatever these proofs decide of another recording
must be what the device really does there, on the bytes of that state.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.crash.exploration import carried
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import Proof
from harness.crash.states.cut import CrashState
from harness.judge.verdict import Verdict
from harness.product import release as releases
from tests.unit.crash import recordings
from tests.unit.crash.logs import SECTOR
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, recording

DEVICES = 40
SECTORS = 6  # that a device reads at most
END = (LAYOUT["data"].offset + DATA_SIZE) // SECTOR
BOOT = LAYOUT["boot"].offset // SECTOR
# Both copies of the boot selection, both slots and what is behind them, a partition that is not
# written by every recording, and what no file has at the end of the data partition.
PLACES = [
    *(0, 1),
    *(LAYOUT[slot].offset // SECTOR + n for slot in ("slot-A", "slot-B") for n in range(6)),
    *(BOOT + n for n in range(4)),
    *(END - 4 + n for n in range(4)),
]
Pair = tuple[Exploration, Exploration]
Marks = tuple[tuple[npt.NDArray[np.bool_], ...], ...]


def version(*parts: bytes) -> bytes:
    return b"".join(part.ljust(SECTOR, b".") for part in parts)


def writes(*each: tuple[int, bytes]) -> Callable[[Path], list[tuple[int, bytes]]]:
    return lambda _: [(sector * SECTOR, content * SECTOR) for sector, content in each]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Marks]:
    """Explorations of two recordings, with no boot yet. They differ in the new version (which is
    longer), in what was flashed, in a sector that only one of them writes, and in what both do."""
    folder = tmp_path_factory.mktemp("two")
    names = ("first", "second")
    first, second = (folder / name for name in names)
    first.mkdir()
    second.mkdir()
    one = recording(
        first,
        writes((BOOT + 1, b"1"), (END - 3, b"a"), (END - 2, b"c")),
        new=version(b"new", b"same", b"this", b"same"),
    )
    old = replace(one.old, folder=second / "flashed")
    old.folder.mkdir()
    for name in one.old.files:
        (old.folder / name).write_bytes((one.old.folder / name).read_bytes())
    with old.disk_image.open("r+b") as image:
        os.pwrite(image.fileno(), b"x", (BOOT + 2) * SECTOR)
    old = replace(old, files={**old.files, "disk.img": releases.digest(old.disk_image)})
    old.write()
    other = recording(
        second,
        writes((BOOT + 3, b"2"), (END - 3, b"b"), (END - 2, b"c")),
        old=old,
        new=version(b"new", b"same", b"that", b"same", b"more", b"more"),
    )
    run = Exploration(other, seed=1)
    pair = Exploration(one, seed=1, contents=run.disk.contents), run
    return pair, tuple(each.read_set.marks() for each in pair)


def fresh(two: tuple[Pair, Marks]) -> Pair:
    """Both without any boot, as they were made."""
    for each, marks in zip(*two, strict=True):
        each.booted.clear()
        each.read_set.back_to(marks)
    two[0][0].carry(list)
    return two[0]


def booted(device: int, exploration: Exploration, state: CrashState) -> Proof:
    """What a device does with the content of a state, and what it has read for that. The judge
    knows what fills the slots."""
    content = exploration.left(state)
    slots = exploration.disk.filled(content)
    data = exploration.disk.contents.data
    read: dict[int, bytes] = {}
    while True:
        told = repr((device, sorted(read.items()))).encode()
        dice = blake2b(told, digest_size=8).digest()
        if len(read) > 1 and (dice[0] < 32 or len(read) == SECTORS):
            break
        sector = PLACES[dice[1] % len(PLACES)]
        while sector in read:
            sector = PLACES[(PLACES.index(sector) + 1) % len(PLACES)]
        read[sector] = data(content.number(sector))
    end = blake2b(told + repr(slots).encode(), digest_size=2).digest()
    final = ("old", "new")[end[0] % 2]
    runs = list(_runs(sorted(read)))
    return Proof(
        recording=exploration.recording.id,
        state=state,
        verdict=(Verdict(final), Verdict.RECOVERED)[end[0] // 2 % 2],
        final=final,
        slot="AB"[end[1] % 2],
        boots=1,
        broken=(),
        reads=runs,
        reads_judged=runs,
        seconds=1.0,
        log=recordings.PROBE_SLOT,
        folder=exploration.recording.folder,
    )


def _runs(sectors: list[int]) -> Iterator[tuple[int, int]]:
    for _, group in groupby(enumerate(sectors), lambda pair: pair[1] - pair[0]):
        run = [sector for _, sector in group]
        yield run[0], len(run)


def holding(pair: Pair) -> list[Booted]:
    other, run = pair
    return [one for each in other.booted if (one := carried.held(run, each))]


def test_what_is_carried_is_what_the_device_does(two: tuple[Pair, Marks]) -> None:
    seen = Counter[str]()
    for device in range(DEVICES):
        other, run = fresh(two)
        while left := other.undecided():
            for one in left:
                other.add(booted(device, other, one.kinds[0].states[0]), sample=False)
        run.carry(partial(holding, two[0]))
        for one, by in run.decided().items():
            states = [state for kind in one.kinds for state in kind.states]
            for state in states:
                does = booted(device, run, state)
                wanted = by.proof.verdict, by.proof.final, by.proof.slot
                assert (does.verdict, does.final, does.slot) == wanted, (device, state, by.proof)
            seen["decided"] += len(states)
        seen["proofs"] += len(other.booted)
        seen["carried"] += len(run.carried)
        seen["open"] += len(run.undecided())
    # Neither all nor nothing: it is about those in between.
    assert seen["decided"] > 5 * DEVICES and seen["open"] > DEVICES
    assert DEVICES < seen["carried"] < seen["proofs"]
