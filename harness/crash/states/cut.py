"""A crash state: which records of a write log had been issued, and what became of those in doubt.

`AT/LOSS`: the power goes when AT records of the log have been issued; LOSS says what is left of the
writes that were in doubt then. `A/L>B/M`: cut again, at record B of the boot that followed.
"""

from dataclasses import dataclass

from harness.errors import ConfigurationError
from harness.medium.model import Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One power cut: after `at` records, with a loss."""

    at: int
    loss: Loss

    def __str__(self) -> str:
        return f"{self.at}/{self.loss}"


@dataclass(frozen=True, slots=True)
class CrashState:
    """What a device is left with: one power cut in the recording, or more, each in the boot that
    followed the one before. Text only where people and files have it: `parse` reads it."""

    cuts: tuple[Cut, ...]

    def __str__(self) -> str:
        return ">".join(map(str, self.cuts))

    @property
    def first(self) -> Cut:
        """The one in the recording."""
        return self.cuts[0]

    @property
    def last(self) -> Cut:
        """The one after which nothing has been booted."""
        return self.cuts[-1]

    @property
    def before(self) -> "CrashState | None":
        """The state whose boot the last one cut; None where that was the recording."""
        return CrashState(self.cuts[:-1]) if self.nested else None

    @property
    def nested(self) -> bool:
        """Whether it is cut more than once."""
        return len(self.cuts) > 1

    def is_possible(self, end: int) -> bool:
        """Whether it is one of a recording whose last position is `end`: of one or two cuts."""
        return self.first.at <= end + 1 and len(self.cuts) <= 2


def cut_again(before: CrashState | None, cut: Cut) -> CrashState:
    """A cut in the boot that followed a state; of none, in the recording."""
    return CrashState((*(before.cuts if before else ()), cut))


def parse(text: str) -> CrashState:
    """Read `AT/LOSS` or `AT/LOSS>AT/LOSS`; ConfigurationError when it is neither."""
    try:
        return CrashState(tuple(map(_cut, text.split(">"))))
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no crash state: {error}",
            hint="AT/LOSS, for example 1234/none, 1234/all, 1234/only:17, 1234/without:17,19, "
            "1234/torn:17:3; behind it ~8 for a card with a cache of 8 writes",
        ) from error


def _cut(text: str) -> Cut:
    at, _, loss = text.partition("/")
    if not at.isdecimal():
        raise ValueError(f"{at!r} is no number of records")
    return Cut(at=int(at), loss=Loss.parse(loss))


def possible(text: str, end: int) -> CrashState | None:
    """The state of that text, as a file has it: spelled as it is printed, and possible in a log
    whose last position is `end`; None for any other text."""
    try:
        state = parse(text)
    except ConfigurationError:
        return None
    return state if str(state) == text and state.is_possible(end) else None
