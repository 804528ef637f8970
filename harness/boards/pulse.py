"""Whether a process of ours got the time that it needed: what hears and serves a board must not be
what makes it late.

A thread looks at all the others every two seconds (/proc/<pid>/task/<tid>/schedstat, see `share`).
It is too little when one of them was ready to run for three quarters of that time and had no CPU,
when the host itself was not given half of its time, or when this thread comes late itself: of a
process that was stopped, a host that slept, a thread that keeps the others from running.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.boards.share import Clock
from harness.errors import LabError

_EVERY = 2.0  # seconds
_LATE = 1.0  # seconds that are no accident
_WAITED = 3 / 4  # of the time between two looks
_STOLEN = 1 / 2
_LEAST = 10.0  # seconds that a board may feel: a request of its has 20 s
_NS = 1e9


@dataclass(frozen=True, slots=True)
class Beat:
    """At one instant: seconds that each thread waited for a CPU, the host's time."""

    at: float
    waited: dict[str, float]
    host: Clock

    @classmethod
    def now(cls) -> "Beat":
        """At this process."""
        waited = {}
        for file in Path("/proc/self/task").glob("*/schedstat"):
            try:
                waited[file.parent.name] = int(file.read_text().split()[1]) / _NS
            except (OSError, ValueError, IndexError):  # that thread has ended
                continue
        # Also counts what the host sleeps (clock_gettime(2)).
        return cls(time.clock_gettime(time.CLOCK_BOOTTIME), waited, Clock.now())

    def short(self, before: "Beat") -> float:
        """Seconds since then in which it got too little: none, what it was late, or all."""
        took = self.at - before.at
        longest = max(
            (waited - before.waited.get(each, 0.0) for each, waited in self.waited.items()),
            default=0.0,
        )
        host = self.host.since(before.host)
        if longest > took * _WAITED or host > _STOLEN:
            return took
        late = took - _EVERY
        return late if late > _LATE else 0.0


@dataclass
class Pulse:
    """Looks at this process from `open` to `close`. `short`: seconds, in sum."""

    short: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _before: Beat | None = None
    _looks: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> None:
        """Begin."""
        self._before = Beat.now()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End. Idempotent."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def begin(self) -> None:
        """What was before counts no more."""
        self._look()
        self.short = 0.0

    def check(self, board: str) -> None:
        """LabError when it got too little since `begin`: also of a process that was stopped, and
        asks as the first thing after that."""
        self._look()
        require_fed(board, "the harness itself", self.short)

    def _beat(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        with self._looks:
            now = Beat.now()
            if self._before:
                self.short += now.short(self._before)
                self._before = now


def require_fed(board: str, who: str, short: float) -> None:
    """LabError when `who` got too little for so many seconds."""
    if short > _LEAST:
        raise LabError(
            f"{board}: the bench is too busy to tell: {who} had no time for {short:.0f} s",
            hint="repeat it when less runs on this host",
        )
