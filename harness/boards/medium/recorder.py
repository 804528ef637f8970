"""A medium's files, kept in step: content, undo and write log of one folder.

`Store` says when (locks, power cuts); this module does it. Nothing here is thread-safe.
Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from harness.boards.medium.files import SECTOR, copy_file
from harness.boards.medium.log import CHANGES, Kind, LogReader, LogWriter, Origin, create_log
from harness.boards.medium.model import Cut, Loss, Model
from harness.boards.medium.volatile import Volatile

_CONTENT, _UNDO, _LOG = "content.img", "undo.bin", "log.bin"


class Recorder:
    """An open medium. Close it before another one is opened on the folder.

    `struck`: log position of the last change, when it was made but never answered.
    """

    def __init__(self, folder: Path, model: Model, struck: int | None = None) -> None:
        self.struck = struck
        self._folder = folder
        self._model = model
        self._volatile = Volatile(folder / _CONTENT, folder / _UNDO)
        self._log = LogWriter(folder / _LOG)
        self.size = self._volatile.size
        self.read_into = self._volatile.read_into
        self._recall()

    @property
    def position(self) -> int:
        """Number of records in the log."""
        return self._log.position

    @property
    def unflushed(self) -> int:
        """Number of writes that a power cut may undo."""
        return self._volatile.unflushed

    def change(
        self,
        kind: Kind,
        offset: int,
        length: int,
        *,
        data: bytes | memoryview = b"",
        fua: bool = False,
        struck: bool = False,
    ) -> None:
        """Log and apply a write, zero or trim; `struck` when it will never be answered."""
        record = self._log.append(kind, offset=offset, length=length, fua=fua, payload=data)
        if struck:
            self.struck = record.position
        promised = self._promised(fua=fua, position=record.position)
        self._volatile.apply(record, data, promised=promised)

    def flush(self) -> None:
        """Make all that was written stable."""
        self._log.append(Kind.FLUSH)
        self._volatile.settle()

    def mark(self, name: str) -> None:
        """Write a named mark into the log."""
        self._log.append(Kind.MARK, payload=name.encode())

    def cut(self, loss: Loss, position: int, *, digest: bool) -> Cut:
        """Lose unflushed writes; `position` is the log's length when the power went."""
        unflushed = self.unflushed
        fallout = self._volatile.lose(loss, self._log.fd)
        cut = Cut(
            position=position,
            loss=str(loss),
            unflushed=unflushed,
            kept=fallout.kept,
            torn=fallout.torn,
            sha256=self._digest() if digest else "",
        )
        # `lost` is what a replay of the log needs; a Cut's reader wants the few that were kept
        told = {**asdict(cut), "lost": fallout.lost}
        self._log.append(Kind.CUT, payload=json.dumps(told).encode())
        self.struck = None
        return cut

    def save(self, target: Path) -> None:
        """Copy the medium into a folder, sparse."""
        for name in (_CONTENT, _UNDO, _LOG):
            copy_file(self._folder / name, target / name)

    def close(self) -> None:
        """Give the files back."""
        self._volatile.close()
        self._log.close()

    def _promised(self, *, fua: bool, position: int) -> bool:
        """Whether a change is stable without a flush: it was answered, and as such it counts."""
        return (fua or self._model is Model.SD) and position != self.struck

    def _recall(self) -> None:
        """Find the unflushed writes again in the log: it and the undo file say it all."""
        with LogReader(self._folder / _LOG) as log:
            for record in log.records():
                if record.kind in CHANGES:
                    promised = self._promised(fua=record.fua, position=record.position)
                    self._volatile.remember(record, promised=promised)
                elif record.kind in (Kind.FLUSH, Kind.CUT):
                    self._volatile.forget()

    def _digest(self) -> str:
        with (self._folder / _CONTENT).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def flash(folder: Path, image: Path, model: Model, sha256: str) -> None:
    """Make a medium of an image: a sparse copy and an empty log. ValueError for odd sizes."""
    size = image.stat().st_size
    if size == 0 or size % SECTOR:
        raise ValueError(f"{image}: {size} bytes are not a whole number of {SECTOR}-byte sectors")
    copy_file(image, folder / _CONTENT)
    (folder / _UNDO).write_bytes(b"")
    origin = Origin(model=model, size=size, base=str(image.resolve()), base_sha256=sha256)
    create_log(folder / _LOG, origin)


def put_back(saved: Path, folder: Path) -> None:
    """Copy a saved medium into a folder, over the one that is there."""
    for name in (_CONTENT, _UNDO, _LOG):
        copy_file(saved / name, folder / name)


def exists(folder: Path) -> bool:
    """Whether the folder holds a medium."""
    return (folder / _LOG).exists()
