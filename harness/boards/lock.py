"""One user at a time: a board's lock, held as long as the process that took it lives.

A flock(2) on `lock` in the board's run folder: the kernel lets go of it when the holder dies, so
there is no stale lock to clean up. The file's text only tells others who holds it.
"""

import fcntl
import os
from pathlib import Path

from harness.errors import LabError


class BoardHeld(LabError):
    """Somebody else has the board."""


class BoardLock:
    """Take with `acquire`, give back with `release`; LabError names the process that has it."""

    def __init__(self, folder: Path, board: str) -> None:
        self._path = folder / "lock"
        self._board = board
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock now or raise LabError; no waiting."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise BoardHeld(
                f"board {self._board} is in use by process {holder(self._path.parent) or '?'}",
                hint=f"wait for it, or `harness power {self._board} off` if it is a bench session",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; no effect when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def holder(folder: Path) -> int | None:
    """The process that holds the lock in `folder`, or None when nobody does."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(fd, 32).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(fd)
