"""Wrong clocks as data: a real-time clock whose battery is dead, and a running clock that jumps, as
when a time server is reached at last, or lies."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_DAYS = {"d": 1, "y": 365}
_MOST = 36_500  # days; what a clock of 32 bits cannot show, its device does not set
_SLACK = 600  # seconds that may pass while it is set
_YEARS = range(1970, 2100)  # that a real-time clock of two digits, and a kernel, show


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSet:
    """Each boot begins with the clock at that instant; prints as `clock:1970-01-02`."""

    at: datetime

    def __str__(self) -> str:
        return f"clock:{self.at:%Y-%m-%d}"

    @classmethod
    def parse(cls, text: str) -> "ClockSet":
        """Read the printed form back; raises ValueError."""
        try:
            found = datetime.strptime(text, "clock:%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise ValueError(f"{text!r} is not a day such as clock:1970-01-02") from None
        if found.year not in _YEARS:
            raise ValueError(f"{text!r}: a year of {_YEARS[0]} to {_YEARS[-1]}")
        return cls(at=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump:
    """Prints as `jump:+3650d`: days, forward or back; `-20y` is read, too, of 365 days each."""

    days: int

    def __str__(self) -> str:
        return f"jump:{self.days:+d}d"

    @classmethod
    def parse(cls, text: str) -> "ClockJump":
        """Read the printed form back; raises ValueError."""
        found = re.fullmatch(r"jump:([+-])([1-9][0-9]{0,4})([dy])", text)
        if not found:
            raise ValueError(f"{text!r} is not a jump of the clock such as jump:+3650d")
        days = int(f"{found[1]}{found[2]}") * _DAYS[found[3]]
        if abs(days) > _MOST:
            raise ValueError(f"{text!r}: at most {_MOST} days")
        return cls(days=days)

    @property
    def command(self) -> str:
        """What a device is told: sets its clock, and prints it before and afterwards."""
        seconds = self.days * 86_400
        return f"now=$(date +%s); echo $now; date -s @$((now + {seconds})) >/dev/null; date +%s"

    def has_struck(self, said: str) -> bool:
        """Whether what the device printed shows it."""
        found = re.fullmatch(r"([0-9]+)\n([0-9]+)\n", said)
        if found is None:
            return False
        return abs(int(found[2]) - int(found[1]) - self.days * 86_400) < _SLACK
