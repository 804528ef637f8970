"""A crash state: which records of a write log had been issued, and what became of those in doubt.

`AT/LOSS`: the power goes when AT records of the log have been issued; LOSS says what is left of the
writes that were in doubt then. `A/L>B/M`: cut again, at record B of the boot that followed.
The same rules as the medium's own power cut (docs/medium.md), worked out a second time from base
and log alone: that both agree byte for byte is a test.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.crash.recording.log import opened
from harness.crash.states.contents import SECTOR
from harness.errors import ConfigurationError
from harness.medium.log import CHANGES, Fate, LogReader, LogRecord, RecordKind
from harness.medium.loss import choose
from harness.medium.model import Loss, LossKind, Model

_FILE = 48  # a source is (file << 48) + byte offset, plus one; zeros have a file of their own
_ZEROS = 0x7FFF

Run = tuple[int, int, Path | None, int]  # sector, count, file, byte offset; no file: zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One power cut: after `at` records, with a loss."""

    at: int
    loss: Loss

    def __str__(self) -> str:
        return f"{self.at}/{self.loss}"


@dataclass(frozen=True, slots=True)
class CrashState:
    """What a device is left with: one power cut in the recording, or more, each in the boot that
    followed the one before. Text only where people and files have it: `parse` reads it."""

    cuts: tuple[Cut, ...]

    def __str__(self) -> str:
        return ">".join(map(str, self.cuts))

    @property
    def first(self) -> Cut:
        """The one in the recording."""
        return self.cuts[0]

    @property
    def last(self) -> Cut:
        """The one after which nothing has been booted."""
        return self.cuts[-1]

    @property
    def before(self) -> "CrashState | None":
        """The state whose boot the last one cut; None where that was the recording."""
        return CrashState(self.cuts[:-1]) if self.nested else None

    @property
    def nested(self) -> bool:
        """Whether it is cut more than once."""
        return len(self.cuts) > 1

    def is_possible(self, end: int) -> bool:
        """Whether it is one of a recording whose last position is `end`: of one or two cuts."""
        return self.first.at <= end + 1 and len(self.cuts) <= 2


def cut_again(before: CrashState | None, cut: Cut) -> CrashState:
    """A cut in the boot that followed a state; of none, in the recording."""
    return CrashState((*(before.cuts if before else ()), cut))


def parse(text: str) -> CrashState:
    """Read `AT/LOSS` or `AT/LOSS>AT/LOSS`; ConfigurationError when it is neither."""
    try:
        return CrashState(tuple(map(_cut, text.split(">"))))
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no crash state: {error}",
            hint="AT/LOSS, for example 1234/none, 1234/all, 1234/only:17, 1234/without:17,19, "
            "1234/torn:17:3; behind it ~8 for a card with a cache of 8 writes",
        ) from error


def _cut(text: str) -> Cut:
    at, _, loss = text.partition("/")
    if not at.isdecimal():
        raise ValueError(f"{at!r} is no number of records")
    return Cut(at=int(at), loss=Loss.parse(loss))


def possible(text: str, end: int) -> CrashState | None:
    """The state of that text, as a file has it: spelled as it is printed, and possible in a log
    whose last position is `end`; None for any other text."""
    try:
        state = parse(text)
    except ConfigurationError:
        return None
    return state if str(state) == text and state.is_possible(end) else None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A write that no flush has covered. `promised`: stable all the same (FUA, or an SD card);
    it is listed because it lies over an older write that is not."""

    record: LogRecord
    promised: bool


class WritesInDoubt:
    """Follows a log and knows at each position which writes are in doubt; `window`: of a card, how
    many of those that it has answered."""

    def __init__(self, model: Model, window: int = 0) -> None:
        self._sd, self._window = model is Model.SD, window
        self.writes: list[LogRecord] = []

    def add(self, record: LogRecord) -> list[LogRecord]:
        """The next record. Returns the writes that are stable from now on, oldest first."""
        settled: list[LogRecord] = []
        if record.kind in (RecordKind.FLUSH, RecordKind.CUT):
            settled, self.writes = self.writes, []
        elif record.kind in CHANGES:
            if self._sd:  # what was answered is stable, but for what the card still has in a cache
                count = max(0, len(self.writes) - self._window)
                settled, self.writes = self.writes[:count], self.writes[count:]
            self.writes.append(record)
        return settled

    def doubts(self, window: int | None = None) -> list[Doubt]:
        """Of the writes since the last flush, oldest first; the newest one may be unanswered,
        and is never promised. `window`: a smaller one."""
        count = len(self.writes)
        old = count - 1 - (self._window if window is None else window) if self._sd else 0
        return [
            Doubt(record, promised=(record.fua or index < old) and index < count - 1)
            for index, record in enumerate(self.writes)
        ]


class Sources:
    """Where the content of each sector lies: in a file, at an offset; and so no image is copied."""

    def __init__(self, size: int, base: Path) -> None:
        self.files: list[Path] = [base]
        self.size = size
        self._at: npt.NDArray[np.int64] = np.zeros(size // SECTOR, np.int64)  # 0: as in the base

    @classmethod
    def load(cls, path: Path) -> "Sources":
        """Read a state file back."""
        content = json.loads(path.read_text())
        files = [Path(name) for name in content["files"]]
        sources = cls(content["size"], files[0])
        sources.files = files
        for sector, count, file, offset in content["extents"]:
            sources.put(sector, count, _ZEROS if file < 0 else file, offset)
        return sources

    def file(self, path: Path) -> int:
        """The number of a file, which is added when it is new."""
        if self.files[-1] is path:  # a card's log has hundreds of thousands of writes
            return len(self.files) - 1
        if path not in self.files:
            self.files.append(path)
        return self.files.index(path)

    def put(self, sector: int, count: int, file: int, offset: int) -> None:
        """From now on, these sectors come from there."""
        start = (file << _FILE) + offset + 1
        step = 0 if file == _ZEROS else SECTOR
        if count == 1:
            self._at[sector] = start
        else:
            self._at[sector : sector + count] = start + np.arange(count, dtype=np.int64) * step

    def apply(self, record: LogRecord, log: Path, sectors: int | None = None) -> None:
        """A write, zero or trim (or its first `sectors`) has reached the medium."""
        count = record.length // SECTOR if sectors is None else sectors
        if record.kind is RecordKind.WRITE:
            self.put(record.offset // SECTOR, count, self.file(log), record.payload_at)
        else:
            self.put(record.offset // SECTOR, count, _ZEROS, 0)

    def extents(self) -> list[tuple[int, int, int, int]]:
        """(sector, count, file, byte offset) of all that does not lie in the base at its place;
        file -1: zeros."""
        used = np.flatnonzero(self._at)
        at = self._at[used]
        found = []
        for first, end in _follows(used, at):
            source = int(at[first]) - 1
            file, offset = source >> _FILE, source & ((1 << _FILE) - 1)
            number = -1 if file == _ZEROS else file
            found.append((int(used[first]), end - first, number, 0 if number < 0 else offset))
        return found

    def runs(self, sector: int, count: int) -> Iterator[Run]:
        """Where a range lies, in order."""
        return _runs(self.files, sector, self._at[sector : sector + count].copy())

    def save(self, path: Path) -> None:
        """Write a state file (docs/medium.md: `load_state`)."""
        files = [str(file.resolve()) for file in self.files]
        state = {"size": self.size, "files": files, "extents": self.extents()}
        path.write_text(json.dumps(state))


def _runs(files: Sequence[Path], sector: int, at: npt.NDArray[np.int64]) -> Iterator[Run]:
    places = np.arange(sector, sector + len(at), dtype=np.int64)
    plain = at == 0
    at[plain] = places[plain] * SECTOR + 1
    for first, end in _follows(places, at):
        source = int(at[first]) - 1
        file, offset = source >> _FILE, source & ((1 << _FILE) - 1)
        path = None if file == _ZEROS else files[file]
        yield int(places[first]), end - first, path, offset


def _follows(
    sectors: npt.NDArray[np.int64], at: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Runs of neighbours on the disk that are neighbours in their file, too (or all zeros)."""
    if not len(sectors):
        return
    zeros = (at >> _FILE) == _ZEROS
    follows = (np.diff(sectors) == 1) & np.where(zeros[1:], zeros[:-1], np.diff(at) == SECTOR)
    starts = np.concatenate(([0], np.flatnonzero(~follows) + 1, [len(sectors)])).tolist()
    yield from pairwise(starts)


def cut_off(sources: Sources, log: Path, model: Model, cut: Cut) -> None:
    """Bring `sources` from where the log began to what the power cut left.

    Raises ConfigurationError for a position that is not in the log, or a loss that names a write
    which is not in doubt there.
    """
    if cut.loss.window and model is not Model.SD:
        raise ConfigurationError(f"{cut}: a {model} has a cache of its own, up to the last flush")
    with opened(log) as reader:
        records = _first(reader, cut.at, log)
        windows = [reader.fate(each).window for each in records if each.kind is RecordKind.CUT]
        unflushed = WritesInDoubt(model, max([cut.loss.window, *windows]))
        for record in records:
            settled = unflushed.add(record)
            if record.kind is RecordKind.CUT:
                _apply_cut(sources, settled, reader.fate(record), log)
            else:
                for write in settled:
                    sources.apply(write, log)
    for write, part in surviving(unflushed.doubts(cut.loss.window), cut):
        sources.apply(write, log, part)


def _first(reader: LogReader, count: int, log: Path) -> Sequence[LogRecord]:
    records: list[LogRecord] = []
    for record in reader.records():
        if record.position >= count:
            return records
        records.append(record)
    if len(records) < count:
        raise ConfigurationError(
            f"{log} has {len(records)} records: there is no cut point {count}",
            hint="--at takes the number of records that were issued before the power went",
        )
    return records


def _apply_cut(sources: Sources, writes: Sequence[LogRecord], fate: Fate, log: Path) -> None:
    """A power cut that is itself in the log, with the fate of each write."""
    for write in writes:
        if write.position in fate.lost:
            continue
        part = fate.torn[1] if fate.torn and fate.torn[0] == write.position else None
        if part is not None and part > write.length // SECTOR:
            raise ConfigurationError(
                f"{log}: write {write.position} cannot be torn after {part} sectors",
                hint="the log is damaged: record it again",
            )
        sources.apply(write, log, part)


def surviving(doubts: Sequence[Doubt], cut: Cut) -> Iterator[tuple[LogRecord, int | None]]:
    """Of the writes in doubt at a power cut those that reach the medium, in order, and how many
    sectors of each: None for all. ConfigurationError as `kept`."""
    survivors = kept(doubts, cut.loss, at=cut.at)
    for doubt in doubts:
        position = doubt.record.position
        if doubt.promised or position in survivors:
            yield doubt.record, None if doubt.promised else survivors[position]


def kept(doubts: Sequence[Doubt], loss: Loss, *, at: int) -> dict[int, int | None]:
    """Log position of each write in doubt that survives -> sectors of it, None for all.

    ConfigurationError when the loss names a write that is not in doubt.
    """
    length = {d.record.position: d.record.length for d in doubts if not d.promised}
    if loss.kind is LossKind.NONE:
        return {}
    if loss.kind is LossKind.ALL:
        return dict.fromkeys(length)
    if not loss.positions:  # a seeded coin must fall here as it falls in the medium
        fate, order = choose(list(length.values()), loss), list(length)
        found: dict[int, int | None] = dict.fromkeys(order[index] for index in fate.kept)
        return found | ({order[fate.torn[0]]: fate.torn[1]} if fate.torn else {})
    for named in loss.positions:
        if named not in length:
            raise ConfigurationError(
                f"{at}/{loss}: write {named} is not in doubt there",
                hint=f"in doubt are: {', '.join(map(str, length)) or 'none'}",
            )
    first = loss.positions[0]
    if loss.sectors and loss.sectors >= length[first] // SECTOR:
        has = length[first] // SECTOR
        raise ConfigurationError(f"{at}/{loss}: that write has only {has} sectors")
    if loss.kind is LossKind.WITHOUT:
        return {position: None for position in length if position not in loss.positions}
    others = loss.positions if loss.kind is LossKind.ONLY else length
    return dict.fromkeys(others) | ({first: loss.sectors} if loss.sectors else {})
