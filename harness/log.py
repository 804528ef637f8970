"""Timed steps: shown to a person as progress, written for a machine as JSON lines.

`with step("flash", board="gateway-qemu"):` is all the rest of the harness uses. The command line
installs a sink or two; without one, steps only go to Python's logging.
"""

import contextlib
import errno
import json
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import HarnessError
from harness.plain import plain_data

logger = logging.getLogger(__name__)

Event = dict[str, Any]
_sinks: list[Callable[[Event], None]] = []
_lock = threading.Lock()
WAITING = "waiting"  # the event of who cannot go on, with `why`
_PATIENCE = 10.0  # seconds for a reader of events
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def emit(event: str, **fields: Any) -> None:
    """Send one event to all sinks; `fields` must be JSON values. Credentials in URLs are taken
    out of them, and what steers a terminal."""
    fields = plain_data(fields)
    record: Event = {"time": time.time(), "event": event, **fields}
    with _lock:
        for sink in _sinks:
            sink(record)
    logger.debug("%s %s", event, fields)


@contextlib.contextmanager
def step(name: str, **fields: Any) -> Iterator[None]:
    """A timed step: emits `begin` and then `end` (or `failed`, with the error) with seconds."""
    emit("begin", step=name, **fields)
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        seconds = round(time.monotonic() - began, 3)
        emit(
            "failed", step=name, seconds=seconds, error=str(error) or type(error).__name__, **fields
        )
        raise
    emit("end", step=name, seconds=round(time.monotonic() - began, 3), **fields)


def progress(name: str, done: int, total: int, **fields: Any) -> None:
    """Report `done` of `total` units of the step called `name`."""
    emit("progress", step=name, done=done, total=total, **fields)


@contextlib.contextmanager
def sink(receive: Callable[[Event], None]) -> Iterator[None]:
    """Deliver all events to `receive` for the length of the block."""
    with _lock:
        _sinks.append(receive)
    try:
        yield
    finally:
        with _lock:
            _sinks.remove(receive)


@contextlib.contextmanager
def json_lines(path: Path) -> Iterator[None]:
    """Append every event of the block to `path`, one JSON object a line.

    A FIFO must have a reader already: nothing is waited for. A file that takes no first line is an
    error; one that takes no more of them later is told, and what is under way ends as it does: a
    promotion may have happened.
    """
    with files.told(path):
        descriptor = os.open(path, _APPEND | os.O_NONBLOCK, 0o666)
    try:
        taken = 0

        def write(record: Event) -> None:
            nonlocal taken
            if taken < 0:
                return
            try:
                with files.told(path):
                    _write(descriptor, (json.dumps(record, default=str) + "\n").encode())
                taken += 1
            except HarnessError as error:
                if not taken:
                    raise
                logger.warning("%s: no more events are kept", error.brief)
                taken = -1

        with sink(write):
            yield
    finally:
        os.close(descriptor)


def _write(descriptor: int, line: bytes) -> None:
    """All of it; TimeoutError when whoever reads it takes nothing for a while."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:
            if not select.select([], [descriptor], [], _PATIENCE)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "its reader has stopped") from None
