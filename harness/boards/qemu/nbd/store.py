"""The device: requests, trigger and power cut behind one lock.

Lifetimes: a folder holds one medium; one `Store` at a time owns it. Clients attach and get an
*era*; every `release` and `restore` begins a new era, and requests of an older one fail, however
late they come out of a socket's buffer: a dead board cannot write.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.boards.qemu.nbd import recorder
from harness.boards.qemu.nbd.content import Runs
from harness.boards.qemu.nbd.damage import Damage
from harness.boards.qemu.nbd.failing import Failings
from harness.boards.qemu.nbd.recorder import Recorder
from harness.boards.qemu.nbd.service import Service
from harness.boards.qemu.nbd.watch import Watch
from harness.medium.extents import Extents
from harness.medium.files import SECTOR
from harness.medium.log import RecordKind
from harness.medium.model import Failing, Loss, Model, PowerCut, Trigger

_UNFLASHED = "the medium is empty: flash an image first"
_UNCLEAN = "the medium was not closed in order, so its content is not known: flash it again"
_ENDED = "the medium was a crash state, which ends with its server: load it again"
_STATE = "state.json"


class Refused(Exception):
    """The store cannot do what was asked of it in its present state."""


class PowerLost(Exception):
    """The request's board has lost its power; there is nobody to answer."""


class Store:
    """A medium in `folder` that behaves like `model`. Thread-safe.

    `cache`, of an `sd` medium: a loss may take so many writes that were answered last.
    """

    def __init__(self, folder: Path, model: Model = Model.DISK, cache: int = 0) -> None:
        if cache and model is not Model.SD:
            raise ValueError(f"cache={cache}: a {model} has a cache anyway, up to the last flush")
        self._folder = folder
        self._model = model
        self._cache = cache
        self._change = threading.Condition()
        self._era = 0
        self._attached = 0
        self._frozen_at: int | None = None  # log position of the freeze
        self._tripped = False
        self._watch: Watch | None = None
        self._recorder: Recorder | None = None
        self._damage = Damage()
        self._failings = Failings()
        self.service = Service()
        # Whoever finds this file knows that a server died with requests half done.
        self._serving = folder / "serving"
        self._problem = _UNFLASHED
        if self._serving.exists():
            self._problem = _UNCLEAN
        elif recorder.is_state(folder):
            self._problem = _ENDED
        elif recorder.exists(folder):
            self._open(Recorder(folder, model, cache=cache))

    # Requests of the board

    def attach(self) -> int:
        """A client connects; returns its era. Raises Refused when there is nothing to serve."""
        with self._change:
            self._medium()
            if self._frozen_at is not None:
                raise Refused("the medium is frozen: drop and release it before the next power-on")
            self._attached += 1
            self.service.attached()
            return self._era

    def detach(self, era: int) -> None:
        """A client has gone."""
        with self._change:
            if era == self._era:
                self._attached -= 1
                self.service.detached()

    def read_into(self, era: int, buffer: memoryview | bytearray, offset: int) -> None:
        """Read the current view. Not answered while frozen; then raises PowerLost."""
        medium = self._recorder
        if self._frozen_at is not None or era != self._era or medium is None:
            with self._change:
                medium = self._admit(era)
        self._failings.delay(offset, len(buffer))
        with self.service.request(len(buffer)):
            self._failings.read(offset, len(buffer))
            self._damage.check(offset, len(buffer))
            with self._honest("read"):
                medium.read_into(buffer, offset)

    def write(self, era: int, data: bytes | memoryview, offset: int, *, fua: bool = False) -> None:
        """A write request; stable when answered with `fua`."""
        self._modify(era, RecordKind.WRITE, offset, len(data), data=data, fua=fua)

    def zero(self, era: int, offset: int, length: int, *, fua: bool = False) -> None:
        """A write-zeroes request."""
        self._modify(era, RecordKind.ZERO, offset, length, fua=fua)

    def trim(self, era: int, offset: int, length: int, *, fua: bool = False) -> None:
        """A discard request; the range reads as zeros afterwards."""
        self._modify(era, RecordKind.TRIM, offset, length, fua=fua)

    def flush(self, era: int) -> None:
        """All completed writes are stable."""
        with self._change, self.service.request():
            medium = self._admit(era)
            if self._failings.flushed():
                with self._honest("flush"):
                    medium.flush()

    def _modify(
        self,
        era: int,
        kind: RecordKind,
        offset: int,
        length: int,
        *,
        data: bytes | memoryview = b"",
        fua: bool,
    ) -> None:
        self._failings.delay(offset, length)
        with self._change, self.service.request(len(data)):
            medium = self._admit(era)
            if not self._failings.written(offset, length, counts=kind is not RecordKind.TRIM):
                return
            fua = fua and self._failings.flushed()
            if offset % SECTOR or length % SECTOR or offset + length > medium.size:
                raise ValueError(f"{length} bytes at {offset}: not whole sectors of the medium")
            watch = self._watch if kind is not RecordKind.TRIM else None
            struck = watch is not None and watch.written(offset, length)
            if struck and watch and watch.trigger.before:
                self._strike(medium)
                self._admit(era)
            with self._honest("store"):
                medium.change(kind, offset, length, data=data, fua=fua, struck=struck)
            self._damage.heal(offset, length)
            if struck:
                self._strike(medium)
                self._admit(era)

    @contextlib.contextmanager
    def _honest(self, what: str) -> Iterator[None]:
        """Around what must not fail: when it does, the host's disk is full or failing, or we are
        wrong, and what the board makes of that says nothing about the board."""
        try:
            yield
        except Exception as error:
            with self._change:
                self._problem = f"the host cannot {what} the medium: {error!r}"
            raise

    def _admit(self, era: int) -> Recorder:
        """Let a request pass, or hold it for as long as the medium is frozen and then fail it."""
        while self._frozen_at is not None and era == self._era:
            self._change.wait()
        if era != self._era:
            raise PowerLost
        return self._medium()

    def _medium(self) -> Recorder:
        if self._problem or self._recorder is None:
            raise Refused(self._problem)
        return self._recorder

    # Triggers and power cuts

    def arm(self, trigger: Trigger) -> None:
        """Freeze when the trigger's stages have been passed; replaces any trigger before."""
        with self._change:
            self._medium()
            self._watch = Watch(trigger)
            self._tripped = False

    def disarm(self) -> None:
        """Forget the trigger; one that has struck stays struck."""
        with self._change:
            self._watch = None

    def wait_tripped(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the trigger has struck."""
        with self._change:
            return self._change.wait_for(lambda: self._tripped, timeout)

    def mark(self, name: str) -> None:
        """Write a named mark into the log; it may strike a trigger."""
        with self._change:
            medium = self._medium()
            watch = self._watch if self._frozen_at is None else None
            struck = watch is not None and watch.marked(name)
            if not (struck and watch and watch.trigger.before):
                medium.mark(name)
            self._failings.marked(name)
            self.service.marked(name)
            if struck:
                self._strike(medium)

    def _strike(self, medium: Recorder) -> None:
        self._tripped = True
        self._watch = None
        self._frozen_at = medium.position
        self._change.notify_all()

    def freeze(self) -> None:
        """Stop answering: the first half of a power cut. No effect when frozen already."""
        with self._change:
            medium = self._medium()
            if self._frozen_at is None:
                self._frozen_at = medium.position

    def drop(self, loss: Loss, *, digest: bool = False) -> PowerCut:
        """The second half, when the board is dead: what becomes of the unflushed writes.

        With `digest`, the whole content is hashed (seconds). Raises Refused unless frozen.
        """
        with self._change:
            medium = self._medium()
            if self._frozen_at is None:
                raise Refused("freeze the medium and kill the board before dropping writes")
            return medium.cut(loss, self._frozen_at, digest=digest)

    def release(self) -> None:
        """Serve again; every request and client from before fails."""
        with self._change:
            self._medium()
            self._begin_era()

    def _begin_era(self) -> None:
        self._frozen_at = None
        self._tripped = False
        self._watch = None
        self._attached = 0
        self.service.detached()
        self._era += 1
        self._change.notify_all()

    # The medium as a whole

    @property
    def size(self) -> int:
        """Size in bytes."""
        with self._change:
            return self._medium().size

    @property
    def position(self) -> int:
        """Number of records in the log."""
        with self._change:
            return self._medium().position

    @property
    def pending(self) -> int:
        """Number of writes that a power cut now may undo."""
        with self._change:
            return self._medium().unflushed

    def load(self, image: Path, sha256: str = "") -> None:
        """Flash: the medium is a copy of `image` with an empty log.

        Raises Refused while frozen or attached, and ValueError for an image of an odd size.
        """
        with self._change:
            self._require_off()
            self._close()
            recorder.flash(self._folder, image, self._model, sha256)
            self._begin_era()
            self.service.begin()
            self._open(Recorder(self._folder, self._model, cache=self._cache))

    def load_state(self, state_file: Path) -> None:
        """As `load`, of a crash state (`extents.py`): nothing is copied."""
        with self._change:
            self._require_off()
            extents = Extents(state_file, apart_from=self._folder)
            self._close()
            medium = recorder.open_state(
                self._folder, state_file, extents, self._model, self._cache
            )
            self._begin_era()
            self.service.begin()
            self._open(medium)

    def spoil(self, offset: int, data: bytes) -> None:
        """A storage fault: whole sectors hold something else, for good. Refused as `load`."""
        with self._change:
            medium = self._harmed(offset, len(data))
            medium.change(RecordKind.WRITE, offset, len(data), data=data, fua=True)

    def harm(self, offset: int, length: int) -> None:
        """A storage fault: the board cannot read a range of whole sectors until it has written
        there (`damage.py`). Refused as `load`, and of an SD card: QEMU's hides it from its guest.
        """
        with self._change:
            if self._model is Model.SD:
                raise Refused("QEMU's SD card tells its guest nothing of a read that fails")
            self._harmed(offset, length)
            self._damage.add(offset, length)

    def fail(self, failings: Sequence[Failing], since: Trigger | None = None) -> int:
        """A storage fault: requests of the board fare so from now on, or from when `since` strikes,
        until told otherwise or flashed; also while a board is attached. Returns how often the one
        before has struck. ValueError for what the board would not be told of."""
        with self._change:
            self._medium()
            return self._failings.set(failings, since, self._model)

    def _harmed(self, offset: int, length: int) -> Recorder:
        self._require_off()
        medium = self._medium()
        if offset % SECTOR or length % SECTOR or offset + length > medium.size:
            raise ValueError(f"{length} bytes at {offset}: not whole sectors of the medium")
        return medium

    # The harness looks; what it reads is never counted as read by the board

    def peek(self, offset: int, length: int) -> bytes:
        """Bytes of the current view; ValueError beyond its end."""
        with self._change:
            buffer = bytearray(length)
            self._inside(offset, length).content.peek_into(buffer, offset)
            return bytes(buffer)

    def sha256(self, offset: int, length: int) -> str:
        """SHA-256 of a range. Does not hold up the board, so the board should not write there."""
        with self._change:
            medium = self._inside(offset, length)
        return medium.sha256(offset, length)

    def copy(self, offset: int, length: int, target: Path, *, as_read: bool) -> None:
        """Write a range to a file; `as_read`: it counts as read by the board."""
        with self._change:
            content = self._inside(offset, length).content
            if as_read:
                content.count_read(offset, length)
            with target.open("wb") as stream:
                content.copy(offset, length, stream.fileno())

    def read_set(self) -> Runs:
        """Sectors that the board has read since `load_state` before they were written."""
        with self._change:
            return self._medium().content.read_set()

    def _inside(self, offset: int, length: int) -> Recorder:
        medium = self._medium()
        if offset < 0 or length < 0 or offset + length > medium.size:
            raise ValueError(
                f"{length} bytes at {offset} are not on the medium ({medium.size} bytes)"
            )
        return medium

    def _require_off(self) -> None:
        if self._frozen_at is not None or self._attached:
            raise Refused("a board is attached to the medium, or it is frozen: power off first")

    def save(self, folder: Path) -> None:
        """Copy the medium, unflushed writes and log included, into an empty folder."""
        with self._change:
            medium = self._medium()
            medium.save(folder)
            state = {
                "model": self._model,
                "frozen_at": self._frozen_at,
                "struck": medium.struck,
                "unreadable": self._damage.sectors(),
            }
            (folder / _STATE).write_text(json.dumps(state))

    def restore(self, folder: Path) -> None:
        """Put a saved medium in place of this one, frozen if it was; old clients fail."""
        state = json.loads((folder / _STATE).read_text())
        with self._change:
            if state["model"] != self._model:
                raise Refused(f"{folder} holds a medium of model {state['model']}")
            self._close()
            recorder.put_back(folder, self._folder)
            self._begin_era()
            self.service.begin()
            opened = Recorder(self._folder, self._model, cache=self._cache, struck=state["struck"])
            self._open(opened)
            self._frozen_at = state["frozen_at"]
            self._damage = Damage(state.get("unreadable", ()))

    def close(self) -> None:
        """Freeze for good and leave the folder in order; requests never get an answer."""
        with self._change:
            self._frozen_at = self._frozen_at or 0
            self._close()
            self._serving.unlink(missing_ok=True)

    def _open(self, medium: Recorder) -> None:
        self._recorder = medium
        self._damage = Damage()
        self._failings = Failings()
        self._problem = ""
        self._serving.touch()

    def _close(self) -> None:
        if self._recorder:
            self._recorder.close()
        self._recorder = None
        self._problem = _UNFLASHED
