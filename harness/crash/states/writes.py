"""A write log over what lay under it, in content numbers: what a power cut leaves of both."""

from bisect import bisect_left
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.crash.recording.log import opened
from harness.crash.states.chunks import ChunkStore
from harness.crash.states.contents import SECTOR, Contents, Ids
from harness.crash.states.cut import Cut
from harness.crash.states.disk_content import DiskContent, Overlay, Sectors
from harness.crash.states.in_doubt import Doubt, WritesInDoubt, surviving
from harness.errors import ConfigurationError
from harness.medium.log import CHANGES, LogReader, LogRecord, RecordKind
from harness.medium.model import Model


class Writes:
    """The first `end` records of a log that began on `base`; all of them without `end`. `window`:
    of a card, how many of the writes that it has answered are in doubt.

    ConfigurationError when a power cut in the log has lost writes: states are those of one life.
    """

    def __init__(
        self,
        contents: Contents,
        base: DiskContent,
        log: Path,
        model: Model,
        end: int | None = None,
        *,
        window: int = 0,
    ) -> None:
        self.base, self.model, self.window = base, model, window
        self._pieces = ChunkStore()  # what is left is in most places what was there before, or all
        with opened(log) as reader:
            self.records = [r for r in reader.records() if end is None or r.position < end]
            pieces = [_ids(contents, reader, log, record) for record in self.records]
        # Positions of flushes and the like; on a card each write settles those before it.
        kinds = CHANGES if model is Model.SD else (RecordKind.FLUSH, RecordKind.CUT)
        self._settles = [r.position for r in self.records if r.kind in kinds]
        # Of each record, and of what is behind the last: where its sectors begin in those of all.
        self._begin = np.cumsum([0, *map(len, pieces)])
        self._ids: Ids = np.concatenate([np.empty(0, np.uint32), *pieces])
        places = [
            np.arange(each.offset // SECTOR, each.offset // SECTOR + len(ids), dtype=np.int32)
            for each, ids in zip(self.records, pieces, strict=True)
        ]
        where = np.concatenate([np.empty(0, np.int32), *places])
        self.sectors: Sectors = np.unique(where).astype(np.int64)  # ascending
        self._columns = np.searchsorted(self.sectors, where).astype(np.int32)

    def ids(self, record: LogRecord) -> Ids:
        """What a record puts into its sectors."""
        return self._ids[self._begin[record.position] : self._begin[record.position + 1]]

    def left(self, cut: Cut) -> Overlay:
        """What a power cut leaves. ConfigurationError for one that is not in the log."""
        if cut.at > len(self.records):
            raise ConfigurationError(
                f"{cut}: the log has {len(self.records)} records",
                hint="a proof of such a state is of another recording: delete its folder",
            )
        doubts = self._doubts(cut)
        settled = self._begin[doubts[0].record.position if doubts else cut.at]
        ids = self._before.copy()
        ids[self._columns[:settled]] = self._ids[:settled]  # of equal columns the last one stays
        for record, sectors in surviving(doubts, cut):
            begin, end = self._begin[record.position : record.position + 2]
            kept = slice(begin, end if sectors is None else begin + sectors)
            ids[self._columns[kept]] = self._ids[kept]
        return Overlay(self.base, self.sectors, self._pieces.keep(ids))

    def _doubts(self, cut: Cut) -> list[Doubt]:
        """The writes in doubt at a cut: none from before the last flush, and of a card none but the
        newest and those in its cache."""
        unflushed = WritesInDoubt(self.model, cut.loss.window)
        before = bisect_left(self._settles, cut.at) - 1 - cut.loss.window
        for record in self.records[self._settles[before] if before >= 0 else 0 : cut.at]:
            unflushed.add(record)
        return unflushed.doubts()

    @cached_property
    def _before(self) -> Ids:
        return self.base.at(self.sectors)


def _ids(contents: Contents, reader: LogReader, log: Path, record: LogRecord) -> Ids:
    if record.kind is RecordKind.CUT and reader.fate(record).lost:
        raise ConfigurationError(
            f"{log}: the power cut at {record.position} lost writes",
            hint="a recording's board switches itself off: record it again",
        )
    if record.kind not in CHANGES:
        return np.empty(0, np.uint32)
    if record.kind is not RecordKind.WRITE:
        return np.zeros(record.length // SECTOR, np.uint32)
    return contents.ids(reader.payload(record), log, record.payload_at)
