"""Power cuts of a real board as data: where they are aimed, and what phase was struck.

Nobody sees a card's writes from outside, so a cut is aimed at what can be seen: a pattern on the
console, a byte of the download that our proxy has passed, or a time since the installation began.
The relay's latency is taken off. What was really struck is told by the medium afterwards
(`StruckPhase`); a cut that should land in a phase and has not says nothing about the product.

    console:PATTERN/50ms   bytes:50%   bytes:123456   time:12.5s     and behind it @PHASE
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

MOST_CUTS = 10_000  # of one sweep: each takes minutes
LONGEST = 3_600_000  # milliseconds: no update is waited for so long
_DELAY = re.compile(r"(.+)/([0-9]+ms)")
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(s|ms)")
_BYTES = re.compile(r"([0-9]{1,3})%|([0-9]{1,12})")


class StruckPhase(StrEnum):
    """How far an update had got when the power went, as the medium tells; in order."""

    BEFORE_WRITE = "before-write"  # the slot is as it was
    WRITE = "write"  # a part of it is written
    BEFORE_SWITCH = "before-switch"  # all of it is, and nothing selects it
    SWITCH = "switch"  # in the middle of a change of the boot selection
    SWITCHED = "switched"  # the slot is selected, and was not tried
    TRIED = "tried"  # it was, and is not committed
    COMMITTED = "committed"
    REJECTED = "rejected"  # it was left


class AimKind(StrEnum):
    """What is waited for."""

    CONSOLE = "console"
    BYTES = "bytes"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One cut. `seconds` after what is waited for (of `time`: since the installation began);
    `byte`: of the artifact; `phase`: that must be struck, where one was asked for."""

    printed: str
    kind: AimKind
    seconds: float = 0.0
    pattern: str = ""
    byte: int = 0
    phase: StruckPhase | None = None

    def __str__(self) -> str:
        return self.printed

    @classmethod
    def parse(cls, text: str, *, size: int) -> "Aim":
        """Read the printed form back; `size` of the artifact. Raises ValueError."""
        rest, phase = text, None
        before, at, name = text.rpartition("@")
        if at and name in list(StruckPhase):
            rest, phase = before, StruckPhase(name)
        word, _, value = rest.partition(":")
        if word not in list(AimKind) or not value:
            raise ValueError(f"{text!r} is no aim: console:PATTERN/50ms, bytes:50% or time:12.5s")
        kind = AimKind(word)
        if kind is AimKind.CONSOLE:
            delayed = _DELAY.fullmatch(value)
            pattern = delayed[1] if delayed else value
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            seconds = _milliseconds(delayed[2]) / 1000 if delayed else 0.0
            return cls(printed=text, kind=kind, seconds=seconds, pattern=pattern, phase=phase)
        if kind is AimKind.TIME:
            return cls(printed=text, kind=kind, seconds=_milliseconds(value) / 1000, phase=phase)
        return cls(printed=text, kind=kind, byte=_byte(value, size), phase=phase)

    @classmethod
    def at(cls, milliseconds: int) -> "Aim":
        """A cut at a time."""
        seconds = milliseconds / 1000
        return cls(printed=f"time:{told(milliseconds)}", kind=AimKind.TIME, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """`0s..120s/500ms`: cuts at these times, one after the other. All in milliseconds."""

    first: int
    last: int
    step: int

    @classmethod
    def parse(cls, text: str) -> "Sweep":
        """Read the printed form back. Raises ValueError."""
        times, _, step = text.partition("/")
        first, dots, last = times.partition("..")
        if not dots or not step:
            raise ValueError(f"{text!r} is no sweep: 0s..120s/500ms")
        read = (_milliseconds(each) for each in (first, last, step))
        found = cls(first=next(read), last=next(read), step=next(read))
        if found.step <= 0 or found.last <= found.first:
            raise ValueError(f"{text!r}: goes nowhere")
        return found

    @property
    def aims(self) -> list[Aim]:
        """All of its cuts. Raises ValueError for more than anybody has time for."""
        times = range(self.first, self.last + 1, self.step)
        if len(times) > MOST_CUTS:
            raise ValueError(f"{self}: {len(times)} cuts, {MOST_CUTS} are the most; --bisect?")
        return [Aim.at(each) for each in times]

    def __str__(self) -> str:
        return f"{told(self.first)}..{told(self.last)}/{self.step}ms"


def told(milliseconds: int) -> str:
    """`12.5s`: a time as it is printed, to the millisecond."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}".rstrip("0").rstrip(".") + "s"


def _milliseconds(text: str) -> int:
    """`12.5s` or `500ms`. Raises ValueError."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no time: 12.5s or 500ms")
    exact = Decimal(found[1]) * (1 if found[2] == "ms" else 1000)
    if exact != int(exact):
        raise ValueError(f"{text!r}: nothing is finer than 1ms")
    if exact > LONGEST:
        raise ValueError(f"{text!r}: nothing is later than {told(LONGEST)}")
    return int(exact)


def _byte(text: str, size: int) -> int:
    found = _BYTES.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no place in the artifact: 50% or 123456")
    byte = size * int(found[1]) // 100 if found[1] else int(found[2])
    if not 0 < byte < size:
        raise ValueError(f"{text}: the artifact has {size} bytes")
    return byte
