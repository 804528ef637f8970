"""How fast a board's power goes: from the relay's answer to the board's last byte."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from harness.errors import LabError

_TALK = 0.01  # seconds between two characters that make it speak
_QUIET = 1.0  # seconds without an answer: it is off


class HeardLine(Protocol):
    """A serial line that is read all the time."""

    last: float  # when the last byte came (time.monotonic)

    def type(self, data: bytes) -> None:
        """Send."""


def cut_seconds(line: HeardLine, off: Callable[[], object], *, longest: float) -> float:
    """Take the power of a board that answers what is typed; seconds from the request to its last
    byte. LabError when it goes on for `longest` seconds."""
    pause = threading.Event()
    over = threading.Event()

    def talk() -> None:
        while not over.wait(_TALK):
            line.type(b"\r")

    talker = threading.Thread(target=talk, name="talk", daemon=True)
    talker.start()
    try:
        pause.wait(20 * _TALK)
        asked = time.monotonic()
        off()
        until = time.monotonic() + longest
        while time.monotonic() - max(line.last, asked) < _QUIET:
            if time.monotonic() > until:
                raise LabError(
                    f"the relay says off, and the board still speaks {longest:g} s later",
                    hint="its contact is welded, or it is not the one of this board",
                )
            pause.wait(_TALK)
    finally:
        over.set()
        talker.join()
    return max(0.0, line.last - asked)
