"""A medium's files, kept in step: content, undo and write log of one folder.

`Store` says when (locks, power cuts); this module does it. Nothing here is thread-safe.
Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from harness.boards.qemu.nbd.content import Content, FlatContent
from harness.boards.qemu.nbd.state import StateContent
from harness.boards.qemu.nbd.volatile import Volatile
from harness.medium.extents import Extents
from harness.medium.files import SECTOR, copy_file
from harness.medium.log import CHANGES, LogReader, LogWriter, Origin, RecordKind, create_log
from harness.medium.model import Loss, Model, PowerCut

_CONTENT, _UNDO, _LOG = "content.img", "undo.bin", "log.bin"
_STATE = "crash-state.json"  # a copy of the state file; there means that the content is not flat
_CHUNK = 1 << 20


class Recorder:
    """An open medium. Close it before another one is opened on the folder.

    `struck`: log position of the last change, when it was made but never answered; `cache`: writes
    that a card may lose although it has answered them; `content`: of a crash state, otherwise it is
    the folder's file.
    """

    def __init__(
        self,
        folder: Path,
        model: Model,
        *,
        struck: int | None = None,
        cache: int = 0,
        content: Content | None = None,
    ) -> None:
        self.struck = struck
        self._folder = folder
        self._model = model
        self.content = content or FlatContent(folder / _CONTENT)
        self._volatile = Volatile(self.content, folder / _UNDO, cache)
        self._log = LogWriter(folder / _LOG)
        self.size = self.content.size
        self.read_into = self.content.read_into
        self._recall()

    @property
    def position(self) -> int:
        """Number of records in the log."""
        return self._log.position

    @property
    def unflushed(self) -> int:
        """Number of writes that a power cut may undo, the cache of a card apart."""
        return len(self._volatile.in_doubt())

    def change(
        self,
        kind: RecordKind,
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
        self._log.append(RecordKind.FLUSH)
        self._volatile.settle()

    def mark(self, name: str) -> None:
        """Write a named mark into the log."""
        self._log.append(RecordKind.MARK, payload=name.encode())

    def cut(self, loss: Loss, position: int, *, digest: bool) -> PowerCut:
        """Lose unflushed writes; `position` is the log's length when the power went."""
        unflushed = len(self._volatile.in_doubt(loss.window))
        fallout = self._volatile.lose(loss, self._log.fd)
        cut = PowerCut(
            position=position,
            loss=str(loss),
            unflushed=unflushed,
            kept=fallout.kept,
            torn=fallout.torn,
            sha256=self.sha256(0, self.size) if digest else "",
        )
        # `lost` is what a replay of the log needs; a Cut's reader wants the few that were kept
        told = {**asdict(cut), "lost": fallout.lost}
        self._log.append(RecordKind.CUT, payload=json.dumps(told).encode())
        self.struck = None
        return cut

    def save(self, target: Path) -> None:
        """Copy the medium into a folder, sparse; ValueError when it is a crash state."""
        if not self.content.can_be_saved:
            raise ValueError("a crash state cannot be saved: load its state file again instead")
        for name in (_CONTENT, _UNDO, _LOG):
            copy_file(self._folder / name, target / name)

    def close(self) -> None:
        """Give the files back."""
        self._volatile.close()
        self.content.close()
        self._log.close()

    def sha256(self, offset: int, length: int) -> str:
        """SHA-256 of a range of the current view."""
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(_CHUNK, length)))
        for at in range(offset, offset + length, _CHUNK):
            chunk = buffer[: min(_CHUNK, offset + length - at)]
            self.content.peek_into(chunk, at)
            digest.update(chunk)
        return digest.hexdigest()

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
                elif record.kind in (RecordKind.FLUSH, RecordKind.CUT):
                    self._volatile.forget()


def flash(folder: Path, image: Path, model: Model, sha256: str) -> None:
    """Make a medium of an image: a sparse copy and an empty log. ValueError for odd sizes."""
    size = image.stat().st_size
    if size == 0 or size % SECTOR:
        raise ValueError(f"{image}: {size} bytes are not a whole number of {SECTOR}-byte sectors")
    (folder / _STATE).unlink(missing_ok=True)
    copy_file(image, folder / _CONTENT)
    _begin(folder, Origin(model=model, size=size, base=str(image.resolve()), base_sha256=sha256))


def open_state(
    folder: Path, state_file: Path, extents: Extents, model: Model, cache: int = 0
) -> Recorder:
    """Make a medium of a crash state, with an empty log. It lasts as long as the Recorder."""
    shutil.copyfile(state_file, folder / _STATE)
    content = StateContent(extents, folder / _CONTENT)
    _begin(folder, Origin(model=model, size=content.size, base=str(state_file.resolve())))
    return Recorder(folder, model, cache=cache, content=content)


def _begin(folder: Path, origin: Origin) -> None:
    (folder / _UNDO).write_bytes(b"")
    create_log(folder / _LOG, origin)


def put_back(saved: Path, folder: Path) -> None:
    """Copy a saved medium into a folder, over the one that is there."""
    (folder / _STATE).unlink(missing_ok=True)
    for name in (_CONTENT, _UNDO, _LOG):
        copy_file(saved / name, folder / name)


def exists(folder: Path) -> bool:
    """Whether the folder holds a medium that can be opened."""
    return (folder / _LOG).exists() and not is_state(folder)


def is_state(folder: Path) -> bool:
    """Whether the folder held a crash state last; what it read as is gone with its server."""
    return (folder / _STATE).exists()
