"""A board's power: each call of the relay under a deadline, `off` believed only when it is seen.

A stock backend waits for a hung relay for ever, and believes every answer. Here a board counts as
off when the relay says so, and its console falls silent, also when it is spoken to. Each call
leaves a `RelayCall`: when it was asked, when it was answered, and when the board was heard last;
the time between the request and the last byte of a board that prints without an end is what the cut
took.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from harness.boards.hardware.serial_line import SerialLine
from harness.boards.hardware.within import within
from harness.errors import LabError
from harness.log import emit

SLOW = 1.0  # seconds: a power cut that takes longer hits something else
TALKING = 0.05  # seconds: a board that was heard so shortly before is printing without a break
_NEWLINE = b"\r"  # what a getty, a shell and a bootloader's prompt answer


class PowerDriver(Protocol):
    """labgrid's PowerProtocol; most have `get`, too."""

    def on(self) -> None:
        """Give power."""

    def off(self) -> None:
        """Take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCall:
    """One call; times in seconds from the request. `heard`: of the last byte of the console;
    `talking`: whether the board was printing when it was asked; `measures`: whether it was made to
    print for as long as it had power. `said`: what the relay says of itself afterwards (on, off, or
    that it cannot say)."""

    action: str
    answered: float
    heard: float | None
    talking: bool
    measures: bool
    said: str

    @property
    def latency(self) -> float | None:
        """What a cut took, where that can be known: a board that falls silent by itself tells
        nothing of it."""
        return self.heard if self.action == "off" and self.talking and self.measures else None


class Relay:
    """The relay of one board. `patience`: seconds for a call, and for the silence after it;
    `quiet`: seconds without a byte that count as silence."""

    def __init__(
        self,
        board: str,
        driver: PowerDriver,
        line: SerialLine,
        *,
        patience: float,
        quiet: float,
    ) -> None:
        self.is_on = True  # until it has been seen to be off
        self.calls: list[RelayCall] = []
        self._measures = False
        self._board = board
        self._driver = driver
        self._line = line
        self._patience = patience
        self._quiet = quiet

    def on(self, *, before: Callable[[], None]) -> None:
        """Give power, after `before`; LabError when the relay does not say that it has."""
        if self.is_on:
            return
        asked = time.monotonic()
        before()
        self.is_on = True
        self._call("on", self._driver.on)
        self._note("on", asked, talking=False)
        if self.calls[-1].said == "off":
            raise self._trouble("was switched on, and says that it is off")

    def off(self) -> RelayCall:
        """Take the power and see that the board is off; LabError when it is not."""
        asked = time.monotonic()
        talking = asked - self._line.last < TALKING
        self._call("off", self._driver.off)
        answered = time.monotonic()
        self._see_silence(answered)
        call = self._note("off", asked, talking=talking, answered=answered)
        if call.said == "on":
            raise self._trouble("was switched off, and says that it is on")
        self._line.check()
        self.is_on = False
        return call

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """A block in which the board prints without an end: how long a cut takes can be known."""
        self._measures = True
        try:
            yield
        finally:
            self._measures = False

    @property
    def latencies(self) -> list[float]:
        """What the cuts took that could be measured."""
        return [each.latency for each in self.calls if each.latency is not None]

    def says(self) -> str:
        """`on`, `off`, or `unknown` for a relay that cannot say."""
        get = getattr(self._driver, "get", None)
        if get is None:
            return "unknown"
        return "on" if self._call("get", get) else "off"

    def _see_silence(self, answered: float) -> None:
        until = answered + self._patience
        silent = self._line.wait_silence(self._quiet, until)
        if silent:  # an idle board is silent, too
            heard = self._line.last
            self._line.type(_NEWLINE)
            silent = self._line.wait_silence(self._quiet, until) and self._line.last == heard
        if not silent:
            raise self._trouble(
                f"was switched off, and the board still speaks {self._patience:g} s later"
            )

    def _call(self, action: str, call: Callable[[], object]) -> object:
        hint = f"harness doctor {self._board}; raise options.relay_timeout for a slow one"
        return within(self._patience, f"relay of {self._board}: {action}", call, hint=hint)

    def _note(
        self, action: str, asked: float, *, talking: bool, answered: float = 0.0
    ) -> RelayCall:
        last = self._line.last
        call = RelayCall(
            action=action,
            answered=round((answered or time.monotonic()) - asked, 4),
            heard=round(last - asked, 4) if last > asked else None,
            talking=talking,
            measures=self._measures,
            said=self.says(),
        )
        self.calls.append(call)
        emit("relay", board=self._board, **asdict(call))
        return call

    def _trouble(self, why: str) -> LabError:
        return LabError(
            f"relay of {self._board}: {why}",
            hint="is it welded, or another one than that of the board? (harness doctor)",
        )
