"""The enumeration finds what making the whole content of every state finds: numbers and kinds."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.crash.equivalence.classes import Classes
from harness.crash.equivalence.copies import CheckedCopy
from harness.crash.equivalence.enumeration import Enumeration
from harness.crash.equivalence.read_set import ReadSet
from harness.crash.equivalence.slots import SlotImages
from harness.crash.recording.phases import Stretch
from harness.crash.states.contents import Contents
from harness.crash.states.cut import parse
from harness.crash.states.disk_content import Image
from harness.crash.states.sources import Sources, cut_off
from harness.crash.states.writes import Writes
from harness.errors import ConfigurationError
from harness.medium.log import LogRecord, RecordKind
from harness.medium.model import Loss, LossKind, Model
from tests.unit.crash.logs import (
    SECTOR,
    SEED,
    SIZE,
    base_image,
    content,
    in_doubt,
    losses,
    medium,
    records,
    scribble,
)

SLOT = range(8, 11)
READS = (0, 1, 2, 3, 9, 20, 21, 22, 30)


def cut_points(log: list[LogRecord], model: Model, start: int, window: int = 0) -> list[str]:
    """All, named; of a card without a cache no `none` and no named write, which are `all` of the
    position before, but for one that is torn."""
    found = []
    for record in log[start:]:
        if record.kind is not RecordKind.MARK:
            at = record.position + 1
            here = losses(log[:at], model, window)
            if not in_doubt(log[:at], model, window):
                here = here[1:2]
            elif model is Model.SD and not window:
                here = [loss for loss in here if loss == "all" or loss.startswith("torn")]
            found += [f"{at}/{loss}" for loss in here]
    return found


@pytest.mark.parametrize(("model", "window"), [(Model.DISK, 0), (Model.SD, 0), (Model.SD, 5)])
@pytest.mark.parametrize("seed", range(10))
def test_as_every_state_made_in_full(tmp_path: Path, model: Model, window: int, seed: int) -> None:
    chance = random.Random(seed)
    base, folder = base_image(tmp_path), tmp_path / "medium"
    found = medium(folder, base, model)
    scribble(found, chance, 22)
    found.close()
    path, start = folder / "log.bin", chance.randrange(8)
    log = records(path)

    made: dict[str, bytes] = {}
    for state in cut_points(log, model, start, window):
        state_sources = Sources(SIZE, base)
        cut_off(state_sources, path, model, parse(state).first)
        made[state] = content(state_sources)

    # Contents that the slot really has now and then, so that all names occur.
    some = [data[SLOT.start * SECTOR : SLOT.stop * SECTOR] for data in made.values()]
    fills = dict(zip(dict.fromkeys(some), ("old", "new", "bad"), strict=False))
    contents = Contents()
    versions = {name: contents.ids(data) for data, name in fills.items()}
    images = SlotImages(
        first=SLOT.start, sectors=len(SLOT), versions=versions, live=np.zeros(len(SLOT), np.bool_)
    )
    read_set = ReadSet(contents, SIZE, None)
    writes = Writes(contents, Image(contents, base), path, model, window=window)
    for state, data in made.items():
        ids = writes.left(parse(state).first).numbers(0, SIZE // SECTOR)
        assert b"".join(map(contents.data, ids.tolist())) == data
    stretch = Stretch(range(start, len(writes.records)))
    enumeration = Enumeration(writes, [images], [stretch], seed=SEED)
    read_set.add_log(writes.sectors)
    reads = np.zeros(read_set.sectors, np.bool_)
    for more in (READS[:4], READS):  # as when a boot has read what none had read before
        reads[list(more)] = True
        read_set.add_reads(reads)
        footprint = read_set.survey()
        classes = Classes(1)
        enumerated = enumeration.run(footprint, classes)

    def seen(data: bytes) -> tuple[str, bytes]:
        slot = fills.get(data[SLOT.start * SECTOR : SLOT.stop * SECTOR], "")
        return slot, b"".join(
            data[s * SECTOR : (s + 1) * SECTOR] for s in footprint.tracked.tolist()
        )

    assert enumerated.cut_points == len(made)
    compared = {s for s in made if is_compared(s)}
    assert enumerated.distinct == len({made[state] for state in compared})
    assert enumerated.hashes.size == len(compared)
    expected: dict[int, Counter[tuple[str, bytes]]] = {}
    for state, data in made.items():
        expected.setdefault(parse(state).first.at, Counter())[seen(data)] += 1
    got = {
        at: Counter(
            {
                (kind.parent.slots[0], b"".join(map(contents.data, kind.picture.ids))): count
                for kind, count in kinds.items()
            }
        )
        for at, kinds in enumerated.points.items()
    }
    assert got == expected
    for one in classes:
        for kind in one.kinds:
            assert kind.states
            whole = one.slots[0], b"".join(map(contents.data, kind.picture.ids))
            assert all(seen(made[str(state)]) == whole for state in kind.states)


def is_compared(state: str) -> bool:
    """Whether the enumeration compares its whole content: of tears only the newest write's."""
    cut = parse(state).first
    loss = cut.loss
    if loss.kind in (LossKind.ALL, LossKind.NONE):
        return True
    if loss.sectors:
        return loss.kind is LossKind.TORN and loss.position == cut.at - 1
    return len(loss.positions) == 1


def test_a_log_with_a_cut_that_lost_writes_is_refused(tmp_path: Path) -> None:
    base, folder = base_image(tmp_path), tmp_path / "medium"
    found = medium(folder, base, Model.DISK)
    found.change(RecordKind.WRITE, 0, SECTOR, data=b"x" * SECTOR)
    found.cut(Loss.parse("none"), found.position, digest=False)
    found.close()
    contents = Contents()
    under = Image(contents, base)
    Writes(contents, under, folder / "log.bin", Model.DISK, 1)
    with pytest.raises(ConfigurationError, match="the power cut at 1 lost writes"):
        Writes(contents, under, folder / "log.bin", Model.DISK)


def test_a_torn_copy_is_torn_whatever_it_holds(tmp_path: Path) -> None:
    """Three sectors that only count together are rewritten, one after the other."""
    base, folder = base_image(tmp_path), tmp_path / "medium"
    new = b"new" * SECTOR
    found = medium(folder, base, Model.SD)
    for at in range(0, 4 * SECTOR, SECTOR):  # the fourth sector counts for itself
        found.change(RecordKind.WRITE, at, SECTOR, data=(new + new)[at : at + SECTOR])
    found.close()
    contents = Contents()
    checked = [CheckedCopy(first=0, count=3, whole=new.__eq__)]
    read_set = ReadSet(contents, SIZE, None, checked)
    writes = Writes(contents, Image(contents, base), folder / "log.bin", Model.SD)
    read_set.add_log(writes.sectors)
    reads = np.zeros(read_set.sectors, np.bool_)
    reads[[0, 2, 3]] = True
    read_set.add_reads(reads)
    enumerated = Enumeration(writes).run(read_set.survey(), Classes(1))
    one, two, whole, behind = (
        kind.picture.seen.tolist() for at in range(1, 5) for kind in enumerated.points[at]
    )
    assert one == two
    assert one[0] == one[1] == one[2] not in contents.ids(base.read_bytes() + new)
    assert whole[:3] == behind[:3] == contents.ids(new).tolist()
    assert whole[3] == one[3] != behind[3]


def test_many_kinds_share_what_is_equal_in_them(tmp_path: Path) -> None:
    """A boot that read a half-written slot makes each write to it a kind of its own: they must not
    cost a disk each."""
    size, base, folder = 2000, tmp_path / "base.img", tmp_path / "medium"
    base.write_bytes(bytes(size * SECTOR))
    found = medium(folder, base, Model.SD)
    for at in range(size):
        found.change(
            RecordKind.WRITE, at * SECTOR, SECTOR, data=at.to_bytes(2, "big") * (SECTOR // 2)
        )
    found.close()
    contents = Contents()
    read_set = ReadSet(contents, size * SECTOR, None)
    writes = Writes(contents, Image(contents, base), folder / "log.bin", Model.SD)
    read_set.add_log(writes.sectors)
    read_set.add_reads(np.ones(read_set.sectors, np.bool_))
    Enumeration(writes).run(read_set.survey(), classes := Classes(1))
    pictures = [kind.picture for one in classes for kind in one.kinds]
    assert len({picture.ids.tobytes() for picture in pictures}) == size
    kept = {int(row) for picture in pictures for row in picture.kept_ids.rows}
    assert len(kept) <= size + 4  # pieces of 512: a new one for each kind, not four
