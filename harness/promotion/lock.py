"""One promotion at a time into a checkout: git locks a branch, but not branch and work tree as one.

A flock(2) on a file in the checkout's .git: the kernel lets go of it when its holder dies.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from harness.deadline import Deadline
from harness.errors import PromotionError
from harness.log import step

NAME = "harness-promotion.lock"
_SECONDS_BETWEEN = 0.05


@contextlib.contextmanager
def held(folder: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock in `folder` (a .git) for the length of the block.

    Waits for `seconds` for another holder, as a step that is shown. Raises PromotionError when the
    lock is not to be had, and for what is in its place and no file; nothing is ever written to it.
    """
    path = folder / NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise PromotionError(f"{path}: {error.strerror}", hint=_HINT) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PromotionError(f"{path}: not a file", hint=_HINT)
        if not _taken(descriptor):
            with step("wait for another promotion", lock=str(path)):
                _wait(descriptor, path, Deadline(seconds))
        yield
    finally:
        os.close(descriptor)


_HINT = "it is the lock of promotions into this checkout: what is in its place must go"


def _wait(descriptor: int, path: Path, deadline: Deadline) -> None:
    while not _taken(descriptor):
        if deadline.over:
            raise PromotionError(
                f"{path}: held by another process for more than {deadline.seconds:g} s",
                hint="wait for the other promotion, or see who it is: fuser, lslocks",
            )
        time.sleep(_SECONDS_BETWEEN)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
