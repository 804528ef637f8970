"""A jump of a running device's clock as data, as when a time server is reached at last, or lies."""

import re
from dataclasses import dataclass

_DAYS = {"d": 1, "y": 365}
_MOST = 36_500  # days; what a clock of 32 bits cannot show, its device does not set
_SLACK = 600  # seconds that may pass while it is set


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
