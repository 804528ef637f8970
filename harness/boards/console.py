"""The serial console of a board: one file a boot, and a reader that goes through them.

Whoever plays or hears the board writes each byte into `boot-<n>.log` the moment it comes: QEMU
itself (a `file` character device: no buffer, nothing lost when QEMU is killed; a QEMU process lives
for exactly one boot), or the one thread that reads a real board's serial port. What is typed comes
from a FIFO. Any number of readers may follow the files.
"""

import contextlib
import os
import threading
from pathlib import Path

from harness.deadline import Deadline
from harness.errors import LabError

_TAIL = 3000  # bytes of a log that an error message shows at most
_POLL = 0.02  # seconds between two looks at a log that has not grown


class Console:
    """The console logs of a board since it was flashed, and a reader that goes through them.

    `begin_boot` is called by the thread that knows of a boot, the rest by the user of the board.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._input: int | None = None
        self._logs: list[Path] = []
        self._reading = 0  # index of the log that is read next
        self._offset = 0

    def reopen(self) -> None:
        """Find the logs of earlier sessions; they have been read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._logs = existing_logs(self.folder)
        self.skip()

    @property
    def logs(self) -> list[Path]:
        """The log files, one a boot, in order; the last one may still grow."""
        with self._lock:
            return list(self._logs)

    @property
    def fifo(self) -> Path:
        """Where what is typed goes in."""
        return self.folder / "input"

    @property
    def input(self) -> int | None:
        """Descriptor from which what is typed can be read, of a board that is on."""
        return self._input

    def begin_boot(self) -> Path:
        """Open the log of the next boot and return its path; the power is off or in reset."""
        self.open_input()
        with self._lock:
            log = self.folder / f"boot-{len(self._logs) + 1}.log"
            log.write_bytes(b"")
            self._logs.append(log)
            return log

    def open_input(self) -> None:
        """Make a fresh FIFO: what was typed before a reset is not typed again after it."""
        self.close_input()
        os.mkfifo(self.fifo, 0o600)
        # Held open for both directions, so that QEMU's open does not wait for a writer and never
        # sees an end of file, after which it would stop reading for good.
        self._input = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close_input(self) -> None:
        """Forget what was typed and not read; there is no FIFO while the board is off."""
        closed, self._input = self._input, None
        if closed is not None:
            os.close(closed)
        self.fifo.unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        """Type `data`; LabError when the board is off or has not read for 64 KiB."""
        if self._input is None:
            raise LabError("the console takes no input: the board is off")
        try:
            return os.write(self._input, data)
        except BlockingIOError:
            raise LabError("the board does not read its console: input is full") from None

    def read(self, timeout: float) -> bytes:
        """The next bytes, of whichever boot; empty when none came within `timeout` seconds."""
        deadline = Deadline(timeout)
        while True:
            data = self._next()
            if data or deadline.over:
                return data
            self._pause.wait(min(_POLL, deadline.left()))

    def wait(self, seconds: float) -> None:
        """Let it go on for a moment."""
        self._pause.wait(seconds)

    def skip(self) -> None:
        """Read on from the beginning of the next boot; the board is off."""
        with self._lock:
            self._reading, self._offset = len(self._logs), 0

    def rewind(self) -> None:
        """Read on from the beginning of the running boot."""
        with self._lock:
            self._reading, self._offset = max(0, len(self._logs) - 1), 0

    def tail(self, lines: int = 15) -> str:
        """The last lines of the running boot, for error messages."""
        logs = self.logs
        if not logs:
            return ""
        with logs[-1].open("rb") as log:
            log.seek(max(0, logs[-1].stat().st_size - _TAIL))
            text = log.read().decode(errors="replace")
        return "\n".join("  " + line.rstrip() for line in text.splitlines()[-lines:])

    def clear(self) -> None:
        """Remove all logs: the board has been flashed or is about to be restored."""
        with self._lock:
            for log in [*existing_logs(self.folder), *self.folder.glob("boot-*.uart*")]:
                log.unlink()
            self._logs, self._reading, self._offset = [], 0, 0

    def save(self, folder: Path) -> None:
        """Copy all logs, as of now, into `folder`."""
        folder.mkdir(parents=True)
        for log in self.logs:
            (folder / log.name).write_bytes(log.read_bytes())

    def restore(self, folder: Path) -> None:
        """Put saved logs back in place of the present ones, read up to their end."""
        self.clear()
        for log in existing_logs(folder):
            (self.folder / log.name).write_bytes(log.read_bytes())
        with self._lock:
            self._logs = existing_logs(self.folder)
            self._reading = max(0, len(self._logs) - 1)
            self._offset = self._logs[-1].stat().st_size if self._logs else 0

    def _next(self) -> bytes:
        with self._lock:
            while self._reading < len(self._logs):
                with self._logs[self._reading].open("rb") as log:
                    log.seek(self._offset)
                    data = log.read(1 << 16)
                self._offset += len(data)
                if data or self._reading == len(self._logs) - 1:
                    return data
                self._reading, self._offset = self._reading + 1, 0
            return b""


def existing_logs(folder: Path) -> list[Path]:
    """The logs in a folder, by boot number; a name that is not ours is not touched."""
    found = {}
    for path in folder.glob("boot-*.log"):
        with contextlib.suppress(ValueError):
            found[int(path.stem.removeprefix("boot-"))] = path
    return [found[number] for number in sorted(found)]
