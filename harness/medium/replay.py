"""Base image + write log = the medium's content at any log position.

Independent of `Store`: it never rolls anything back, it applies only what stayed. That the two
agree byte for byte is a test of both.
"""

from pathlib import Path
from typing import BinaryIO

from harness.medium.files import SECTOR, copy_file
from harness.medium.log import CHANGES, Fate, LogReader, LogRecord, RecordKind


def replay(base: Path, log: Path, upto: int, target: Path) -> None:
    """Write to `target` what a board would read after the first `upto` records of the log.

    Raises ValueError when `log` is not a write log or is shorter than that.
    """
    copy_file(base, target)
    pending: list[LogRecord] = []
    with LogReader(log) as reader, target.open("r+b") as content:
        done = 0
        for record in reader.records():
            if done == upto:
                break
            done += 1
            if record.kind in CHANGES:
                pending.append(record)
            elif record.kind is RecordKind.FLUSH:
                _apply(reader, pending, content)
            elif record.kind is RecordKind.CUT:
                _apply(reader, pending, content, reader.fate(record))
        if done < upto:
            raise ValueError(f"{log} has {done} records, not {upto}")
        _apply(reader, pending, content)


def _apply(
    reader: LogReader, pending: list[LogRecord], content: BinaryIO, cut: Fate | None = None
) -> None:
    lost, torn, _ = cut or Fate(frozenset(), None, 0)
    for record in pending:
        if record.position in lost:
            continue
        data = reader.payload(record) if record.kind is RecordKind.WRITE else bytes(record.length)
        if torn and torn[0] == record.position:
            data = data[: torn[1] * SECTOR]
        content.seek(record.offset)
        content.write(data)
    pending.clear()
