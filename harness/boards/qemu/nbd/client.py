"""A board's medium as the harness uses it: starts nbdkit, flashes, freezes, loses, saves.

`Medium` owns the nbdkit process and two sockets in a private folder with a short path (a Unix
socket's address has 108 bytes at most, unix(7)); the files are in the folder that it is given:

    content.img  what the board reads        log.bin     the write log (`log.py`)
    undo.bin     what unflushed writes hid   nbdkit.log  what nbdkit had to say

After `load_state`, content.img only holds what was written since; the rest lies where the state
file says, and is not copied.

A power cut is `freeze` (or a struck trigger), then the caller kills the board, then `drop`, then
`release`. In this order nothing that the dead board left in a socket can reach the medium.
"""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.boards.qemu.nbd.control import decode_cut
from harness.boards.qemu.nbd.service import BootServed
from harness.errors import LabError
from harness.medium.model import Failing, Loss, Model, PowerCut, Trigger
from harness.process import kill_group, start

_PLUGIN = Path(__file__).with_name("plugin.py")
_ANSWER = 60.0  # seconds for a call; flashing and saving copy whole images
_CHUNK = 1 << 20  # bytes of the medium in one answer
_HASHED = 50 << 20  # bytes a second that any host hashes


class Medium:
    """A medium in `folder` (made when missing) that behaves like `model` (`disk` or `sd`; `cache`:
    answered writes that a loss may take from a card).

    Every call raises LabError when nbdkit has died or cannot do it in its present state.
    """

    def __init__(
        self, folder: Path, *, model: str = Model.DISK, cache: int = 0, plugin: Path = _PLUGIN
    ) -> None:
        self.folder = folder
        self.model = Model(model)
        self.cache = cache
        self._plugin = plugin
        self._sockets: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start nbdkit and wait until it serves. What the folder held is still there."""
        if self._server:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sockets = _short_folder()
        try:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(self._sockets / "control"))
                listening.listen()
                self._server = self._nbdkit(listening.fileno())
            self._call("hello")
        except BaseException:
            self.close()
            raise

    def _nbdkit(self, control: int) -> subprocess.Popen[bytes]:
        options = {
            "folder": self.folder.resolve(),
            "model": self.model,
            "cache": self.cache,
            "control": control,
        }
        return start(
            [
                *("nbdkit", "--foreground", "--unix", f"{self._sockets}/nbd", "python"),
                self._plugin,
                *(f"{key}={value}" for key, value in options.items()),
            ],
            log=self._log,
            pass_fds=(control,),
        )

    def close(self) -> None:
        """End nbdkit; a board that is still attached never gets an answer. Safe to call twice."""
        server, self._server = self._server, None
        if server:
            with contextlib.suppress(LabError):  # it may be dead already; then this is all
                self._call("close")
            kill_group(server)
        if self._sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    @property
    def uri(self) -> str:
        """Address for QEMU or another NBD client. Raises LabError before `start`."""
        return f"nbd+unix:///?socket={self._socket('nbd')}"

    @property
    def write_log(self) -> Path:
        """The log file; read it with `log.LogReader`, also while it grows."""
        return self.folder / "log.bin"

    def load(self, image: Path, *, sha256: str = "") -> None:
        """Flash a disk image and begin a new log; refused while frozen or a board is attached."""
        self._call("load", image=str(image.resolve()), sha256=sha256)

    def load_state(self, state_file: Path) -> None:
        """As `load`, of a crash state (a state file: `extents.py`): no image is copied, the disk
        gets what the board writes. It cannot be saved, and ends with `close`."""
        self._call("load_state", state_file=str(state_file.resolve()))

    def read_set(self) -> list[tuple[int, int]]:
        """Runs (sector, count) that boards have read since `load_state` before they wrote there,
        in order; what a power cut took back counts as not written. LabError on a flashed medium.
        """
        target = self.folder / "reads.json"  # too long for an answer
        self._call("read_set", target=str(target.resolve()))
        return [(sector, count) for sector, count in json.loads(target.read_text())]

    def copy(self, offset: int, length: int, target: Path, *, as_read: bool = False) -> None:
        """Write a range to a file, sparse, from its byte 0. `as_read`: for a part of the board
        that QEMU does not play (firmware), so that the range belongs to the read set."""
        self._call(
            "copy", offset=offset, length=length, target=str(target.resolve()), as_read=as_read
        )

    def freeze(self) -> None:
        """Power cut now, first half: from here on no request is answered."""
        self._call("freeze")

    def drop(self, loss: Loss, *, digest: bool = False) -> PowerCut:
        """Second half, with the board dead: lose unflushed writes; `digest` hashes the result."""
        return decode_cut(self._call("drop", loss=str(loss), digest=digest))

    def release(self) -> None:
        """Serve the next power-on; every request from before fails."""
        self._call("release")

    def arm(self, trigger: Trigger) -> None:
        """Freeze when the trigger's stages have been passed."""
        self._call("arm", trigger=asdict(trigger))

    def disarm(self) -> None:
        """Forget the trigger; one that has struck stays struck."""
        self._call("disarm")

    def wait_tripped(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the trigger to strike."""
        return bool(self._call("wait", patience=timeout + _ANSWER, timeout=timeout))

    def mark(self, name: str) -> None:
        """Write a named mark into the log; it may strike the trigger."""
        self._call("mark", name=name)

    def position(self) -> int:
        """Number of records in the log."""
        return int(self._call("position"))

    def size(self) -> int:
        """Size in bytes."""
        return int(self._call("size"))

    def pending(self) -> int:
        """Number of writes that a power cut now may undo."""
        return int(self._call("pending"))

    @property
    def live(self) -> bool:
        """It can be read while a board is attached."""
        return True

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that the board would read now."""
        end = offset + length
        chunks = [
            self._call("read", offset=at, length=min(_CHUNK, end - at))
            for at in range(offset, end, _CHUNK)
        ]
        return b"".join(map(base64.b64decode, chunks))

    def overwrite(self, offset: int, content: bytes) -> None:
        """Write whole sectors behind the board's back; refused while frozen or a board is
        attached."""
        self._call("overwrite", offset=offset, data=base64.b64encode(content).decode())

    def harm(self, offset: int, length: int) -> None:
        """A range is unreadable to the board until it is written; refused as `overwrite`, and
        under the model `sd`."""
        self._call("harm", offset=offset, length=length)

    def fail(self, failings: Sequence[Failing], *, since: Trigger | None = None) -> int:
        """Requests of the board fare so from now on, or from when `since` strikes: until told
        otherwise, flashed or restored. No failing: the medium is well again. Returns how often
        what was set before has struck."""
        told = [asdict(each) for each in failings]
        return int(self._call("fail", failings=told, since=asdict(since) if since else None))

    def served(self) -> list[BootServed]:
        """How long requests took, of each boot since it was flashed or restored."""
        return [BootServed(**each) for each in self._call("served")]

    def sha256(self, offset: int, length: int) -> str:
        """SHA-256 of a byte range."""
        patience = _ANSWER + length / _HASHED
        return str(self._call("sha256", patience=patience, offset=offset, length=length))

    def save(self, folder: Path) -> None:
        """Keep the medium with its unflushed writes and log in `folder` (made; must be empty).

        Not kept: an armed trigger. A frozen medium is restored frozen, so that one cut instant
        can be dropped with several losses.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LabError(f"cannot save the medium in {folder}: the folder is not empty")
        self._call("save", folder=str(folder.resolve()))

    def restore(self, folder: Path) -> None:
        """Put a saved medium in place of this one; whoever is attached gets errors from now on."""
        self._call("restore", folder=str(folder.resolve()))

    @property
    def _log(self) -> Path:
        return self.folder / "nbdkit.log"

    def _socket(self, name: str) -> Path:
        if self._sockets is None:
            raise LabError(f"the medium in {self.folder} is not started")
        return self._sockets / name

    def _call(self, do: str, *, patience: float = _ANSWER, **arguments: Any) -> Any:
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(patience)
                channel.connect(str(self._socket("control")))
                channel.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
                with channel.makefile("r", encoding="utf-8") as stream:
                    line = stream.readline()
        except TimeoutError:
            raise self._failure(f"gave no answer to {do!r} in {patience:g} s") from None
        except OSError as problem:
            raise self._failure(f"died ({problem.strerror})") from problem
        if not line:
            raise self._failure(f"died during {do!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"medium in {self.folder}: {do} refused: {answer['error']}")
        return answer["answer"]

    def _failure(self, what: str) -> LabError:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return LabError(
            f"the medium's nbdkit in {self.folder} {what}",
            details="\n".join("  " + line for line in lines[-15:]),
            hint="`harness setup` names what is missing: nbdkit and nbdkit-plugin-python; "
            f"the whole log is {self._log}",
        )


def _short_folder() -> Path:
    """A private folder whose path leaves room for a socket's name, whatever $TMPDIR is."""
    folder = Path(tempfile.mkdtemp(prefix="medium-"))
    if len(str(folder)) > 90:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="medium-", dir="/tmp"))
    return folder
