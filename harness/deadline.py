"""One monotonic deadline, made at the edge of an operation and handed down."""

import threading
import time
from collections.abc import Callable


class Deadline:
    """`Deadline(30)` is over in 30 seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether the time has run out."""
        return self.left() == 0


def reached_within(seconds: float, reached: Callable[[], bool], *, poll: float) -> bool:
    """Look every `poll` seconds whether something is reached; whether it was, in that time."""
    deadline, pause = Deadline(seconds), threading.Event()
    while not reached():
        if deadline.over:
            return False
        pause.wait(poll)
    return True
