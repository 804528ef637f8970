"""The user's terminal on a board's serial console: raw both ways, Ctrl-] leaves.

Works on the files of `harness.boards.console`, so any number of terminals can watch a board,
also one that a test run holds, and what they see does not get lost to anybody else.
"""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from harness.boards.console import existing_logs

LEAVE = b"\x1d"  # Ctrl-]
_POLL = 0.05  # seconds
_BEFORE = 2000  # bytes of the running boot that are shown at first


def attach(folder: Path, *, stdin: int | None = None, stdout: int | None = None) -> None:
    """Connect a terminal with the console in `folder` until Ctrl-], or until the board is off."""
    keys = sys.stdin.fileno() if stdin is None else stdin
    screen = sys.stdout.fileno() if stdout is None else stdout
    follower = _Follower(folder)
    with _raw(keys):
        while folder.joinpath("input").exists() or follower.more():
            os.write(screen, follower.read())
            ready, _, _ = select.select([keys], [], [], _POLL)
            if ready:
                typed = os.read(keys, 1024)
                if LEAVE in typed or not typed:
                    return
                _type(folder / "input", typed)


class _Follower:
    """Reads the logs from near the end of the running boot on, and on into later boots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        logs = existing_logs(folder)
        self._boot = max(0, len(logs) - 1)
        self._offset = max(0, logs[-1].stat().st_size - _BEFORE) if logs else 0

    def more(self) -> bool:
        logs = existing_logs(self._folder)
        later = len(logs) - 1 > self._boot
        return later or (bool(logs) and logs[-1].stat().st_size > self._offset)

    def read(self) -> bytes:
        logs = existing_logs(self._folder)
        if self._boot >= len(logs):  # flashed or restored meanwhile
            self._boot, self._offset = max(0, len(logs) - 1), 0
            return b""
        with logs[self._boot].open("rb") as log:
            log.seek(self._offset)
            data = log.read(1 << 16)
        self._offset += len(data)
        if not data and self._boot < len(logs) - 1:
            self._boot, self._offset = self._boot + 1, 0
        return data


def _type(fifo: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the board is off, or does not read: as on a real line
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """No echo, no line editing, no Ctrl-C: all of that is the board's; put right at the end."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
