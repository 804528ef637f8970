"""Losses and triggers: what a power cut does to the medium, and when it strikes. Data only.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Model(StrEnum):
    """How a medium keeps its promises."""

    DISK = "disk"  # volatile write cache; only flush and FUA make writes stable
    SD = "sd"  # no flush exists: what was answered is stable, the last write may be torn; unless
    # the card has a cache: then its last answered writes may be lost, each by itself (Loss.window)


class LossKind(StrEnum):
    """What becomes of the writes that no flush had made stable when the power went."""

    NONE = "none"  # none of them is kept: the cache was never written back
    ALL = "all"  # all are kept: the cache happened to be written back
    SOME = "some"  # each is kept or lost as a coin falls, seeded
    TORN = "torn"  # like SOME, and one of the kept ones is cut off at a 512-byte sector, seeded;
    # or all are kept, but one that is named ends after so many sectors
    ONLY = "only"  # none but the named ones are kept; or of a single one its first sectors
    WITHOUT = "without"  # all but the named ones are kept


_SEEDED = (LossKind.SOME, LossKind.TORN)
_NAMING = (LossKind.ONLY, LossKind.WITHOUT)
_PLAIN = (LossKind.NONE, LossKind.ALL)
_PARTS = (LossKind.ONLY, LossKind.TORN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a power cut takes: `none`, `all`, `some:SEED`, `torn:SEED`, or with writes named by
    their log positions P < Q: `only:P`, `only:P,Q`, `without:P`, `without:P,Q` (and more of them),
    `torn:P:S`, `only:P:S` (S sectors of it are kept).

    `~N` behind it: of a card with a cache, the last N writes that were answered are in doubt, too.
    """

    kind: LossKind
    seed: int = 0
    position: int | None = None  # of the named write, in the log
    others: tuple[int, ...] = ()  # that are named with it, ascending
    sectors: int = 0  # kept of it, when it is torn; 0: it is not
    window: int = 0  # answered writes of a card that are in doubt

    @property
    def positions(self) -> tuple[int, ...]:
        """The writes that are named, in order."""
        return () if self.position is None else (self.position, *self.others)

    def __str__(self) -> str:
        return f"{self.kind}{self._which()}" + (f"~{self.window}" if self.window else "")

    def _which(self) -> str:
        if self.position is not None:
            named = ",".join(map(str, self.positions))
            return f":{named}:{self.sectors}" if self.sectors else f":{named}"
        return f":{self.seed}" if self.kind in _SEEDED else ""

    @classmethod
    def parse(cls, text: str) -> "Loss":
        """Read the printed form back; raises ValueError."""
        plain, cached, window = text.partition("~")
        word, *fields = plain.split(":")
        if word not in list(LossKind) or (cached and not _number(window)):
            raise ValueError(f"{text!r} is not a valid loss: {_FORMS}")
        found = _parsed(LossKind(word), fields)
        if found is None:
            raise ValueError(f"{text!r} is not a valid loss: {_FORMS}")
        return replace(found, window=_number(window))


_FORMS = (
    "none, all, some:SEED, torn:SEED, only:P, without:P, only:P,Q, without:P,Q, torn:P:S or "
    "only:P:S (P < Q log positions, S > 0); and ~N behind it for a card's cache of N > 0 writes"
)


def _parsed(kind: LossKind, fields: list[str]) -> Loss | None:
    """A loss without its window, or None when these are not its fields."""
    named, *parts = fields or [""]
    positions = [int(each) for each in named.split(",") if each.isdecimal()]
    if fields and (len(positions) <= named.count(",") or positions != sorted(set(positions))):
        return None
    if kind in _PARTS and len(positions) == len(parts) == 1 and _number(parts[0]):
        return Loss(kind=kind, position=positions[0], sectors=_number(parts[0]))
    if kind in _NAMING and positions and not parts:
        return Loss(kind=kind, position=positions[0], others=tuple(positions[1:]))
    if kind in _SEEDED and not parts and (len(positions) == 1 or not fields):
        return Loss(kind=kind, seed=sum(positions))
    return Loss(kind=kind) if kind in _PLAIN and not fields else None


def _number(text: str) -> int:
    """A decimal number; 0 for any other text."""
    return int(text) if text.isdecimal() else 0


class Event(StrEnum):
    """What a stage of a trigger counts."""

    BYTES = "bytes"  # bytes written inside the region
    WRITES = "writes"  # write requests that touch the region
    MARK = "mark"  # marks with the stage's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a trigger: `count` events of a kind, in bytes [offset, offset + length).

    A region of length 0 is the whole medium. Writes of zeroes count as writes, discards do not.
    Bytes are counted as requests come: the stage is passed by the one that reaches `count`.
    """

    event: Event
    count: int = 1
    offset: int = 0
    length: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Cuts the power when all stages have been passed, one after the other.

    `before=True` cuts just before the request that completes the last stage reaches the cache;
    otherwise just after, and the guest is never told that it was done.
    """

    stages: tuple[Stage, ...]
    before: bool = False


class Misdeed(StrEnum):
    """What a medium that fails does with a request."""

    READ_ERROR = "eio-read"  # a read is answered with an error
    WRITE_ERROR = "eio-write"  # a write, too; what is there stays
    FORGOTTEN_WRITE = "forget-write"  # a write is answered as done, and is not
    FORGOTTEN_FLUSH = "forget-flush"  # a flush is answered as done, and is not
    SLOW = "slow"  # a request takes so many seconds more


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """One way in which a medium fails, in bytes [offset, offset + length); length 0: all of it."""

    what: Misdeed
    offset: int = 0
    length: int = 0
    seconds: float = 0.0  # of SLOW

    def touched(self, what: Misdeed, offset: int, length: int) -> bool:
        """Whether it is this one, and a request for that range meets it."""
        if self.what is not what:
            return False
        end = self.offset + self.length
        return not self.length or (offset < end and self.offset < offset + length)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut:
    """What a power cut did: the log position, and the fate of each unflushed write."""

    position: int  # number of log records before the cut
    loss: str  # Loss, printed
    unflushed: int  # writes that were in doubt; under `sd`, those never answered or in the cache
    kept: tuple[int, ...]  # log positions of those that were kept, in order
    torn: tuple[int, int] | None = None  # (log position, sectors kept of it)
    sha256: str = ""  # of the medium's whole content after the cut, where it was asked for
