"""Where the content of a crash state lies: each sector in a file, at an offset.

A state is served to a board from there (docs/medium.md: `load_state`), so no image is ever copied.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.crash.recording.log import opened
from harness.crash.states.contents import SECTOR
from harness.crash.states.cut import Cut
from harness.crash.states.in_doubt import WritesInDoubt, surviving
from harness.errors import ConfigurationError
from harness.medium.log import Fate, LogReader, LogRecord, RecordKind
from harness.medium.model import Model

_FILE = 48  # a source is (file << 48) + byte offset, plus one; zeros have a file of their own
_ZEROS = 0x7FFF

Run = tuple[int, int, Path | None, int]  # sector, count, file, byte offset; no file: zeros


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
