"""How long a medium's requests took in its server: what a host's slow disk does to a board.

A boot begins when a board's QEMU connects. The time counts in which there is a request that the
medium has not answered, once, however many there are: a board that asks for much at once waits for
itself. What a `slow` fault adds, and a request that a power cut leaves without an answer, does not
count. A thread that looks at the clock once a second finds the time in which nobody was served at
all: a server that was stopped, or had no CPU. Errors count that no fault has asked for.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

_EVERY = 1.0  # seconds between two looks at the clock
_LATE = 0.5  # seconds that are no accident
# Linux gives a disk 30 s for a request (SD_TIMEOUT in drivers/scsi/sd.h), and then resets it.
_ENDLESS = 30.0
# What a medium of the field takes for a request on average: an SD card's small writes take a few
# milliseconds, its reads less. Measured here: 16,618 requests of a gateway's boot took 0.2 s.
_MEAN = 0.005
_RATE = 10_000_000  # bytes a second; the slowest class of cards that is sold writes as much
_LEAST = 10.0  # seconds that a board may feel: below, nothing can be said
_MOSTLY = 1 / 2  # of the boot


@dataclass
class BootServed:
    """One boot, by the mark that its driver gave it: its length so far, requests that were
    answered and their bytes, seconds in which one was under way and that the worst of them took,
    seconds in which nobody was served; errors that nobody asked for, and the last of them."""

    name: str = ""
    seconds: float = 0.0
    requests: int = 0
    size: int = 0
    taken: float = 0.0
    worst: float = 0.0
    stopped: float = 0.0
    errors: int = 0
    error: str = ""

    @classmethod
    def worst_of(cls, boots: "Sequence[BootServed]") -> "BootServed":
        """One of these boots whose medium is to blame for something, or else the last of them."""
        return next((each for each in boots if each.trouble), boots[-1] if boots else cls())

    def to_data(self) -> dict[str, object]:
        """For the evidence: milliseconds are enough."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}

    @property
    def trouble(self) -> str:
        """Why what a board did not do may be this medium's host's fault; empty: it is not."""
        if self.errors:
            return f"its server ended {self.errors} requests with an error: {self.error}"
        if max(self.worst, self.stopped) > _ENDLESS:
            return f"it did not answer for {max(self.worst, self.stopped):.0f} s"
        waited = min(self.taken + self.stopped, self.seconds)
        slow = waited > self.requests * _MEAN + self.size / _RATE
        if waited > _LEAST and waited > self.seconds * _MOSTLY and slow:
            return f"a boot of {self.seconds:.0f} s waited {waited:.0f} s for it"
        return ""


class Service:
    """All boots since `begin`. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._change = threading.Lock()
        self._boots: list[BootServed] = []
        self._began: float | None = None  # of a boot that goes on
        self._open = 0  # requests under way
        self._since = 0.0  # when the first of them came

    def begin(self) -> None:
        """Boots before count no more."""
        with self._change:
            self._boots, self._began = [], None

    def attached(self) -> None:
        """A boot begins."""
        with self._change:
            self._end()
            self._boots.append(BootServed())
            self._began = self._clock()

    def marked(self, name: str) -> None:
        """A mark: the last one of a boot's beginning is its name."""
        with self._change:
            if self._boots and name.startswith("boot "):
                self._boots[-1].name = name

    def detached(self) -> None:
        """The boot has ended."""
        with self._change:
            self._end()

    @contextlib.contextmanager
    def request(self, size: int = 0) -> Iterator[None]:
        """Around one of `size` bytes that is served; one that raises was not answered."""
        began, answered = self._clock(), False
        with self._change:
            self._since = self._since if self._open else began
            self._open += 1
        try:
            yield
            answered = True
        finally:
            with self._change:
                self._open -= 1
                if answered and self._boots:
                    self._served(self._boots[-1], size, self._clock(), began)

    def _served(self, boot: BootServed, size: int, now: float, began: float) -> None:
        boot.requests += 1
        boot.size += size
        boot.worst = max(boot.worst, now - began)
        if not self._open:
            boot.taken += now - self._since

    def failed(self, error: BaseException) -> None:
        """A request ended with an error that nobody asked for."""
        with self._change:
            if not self._boots:
                self._boots.append(BootServed())
            self._boots[-1].errors += 1
            self._boots[-1].error = repr(error)

    def figures(self) -> list[BootServed]:
        """Of each boot, the one that goes on so far."""
        with self._change:
            self._measure()
            return list(self._boots)

    def watch(self) -> None:
        """Find out from now on when nobody is served."""
        threading.Thread(target=self._watch, name="service", daemon=True).start()

    def _watch(self) -> None:
        before = self._clock()
        while True:
            time.sleep(_EVERY)
            now = self._clock()
            self.looked(now - before)
            before = now

    def looked(self, after: float) -> None:
        """The clock was looked at so many seconds after the last time."""
        late = after - _EVERY
        with self._change:
            if late > _LATE and self._began is not None:
                self._boots[-1].stopped += late

    def _measure(self) -> None:
        if self._boots and self._began is not None:
            self._boots[-1].seconds = self._clock() - self._began

    def _end(self) -> None:
        self._measure()
        self._began = None
