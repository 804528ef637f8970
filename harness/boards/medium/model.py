"""Losses and triggers: what a power cut does to the medium, and when it strikes. Data only.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

from dataclasses import dataclass
from enum import StrEnum


class Model(StrEnum):
    """How a medium keeps its promises."""

    DISK = "disk"  # volatile write cache; only flush and FUA make writes stable
    SD = "sd"  # no flush exists: what was answered is stable, the last write may be torn


class LossKind(StrEnum):
    """What becomes of the writes that no flush had made stable when the power went."""

    NONE = "none"  # none of them is kept: the cache was never written back
    ALL = "all"  # all are kept: the cache happened to be written back
    SOME = "some"  # each is kept or lost as a coin falls, seeded
    TORN = "torn"  # like SOME, and one of the kept ones is cut off at a 512-byte sector, seeded;
    # or all are kept, but one that is named ends after so many sectors
    ONLY = "only"  # none but the named one is kept
    WITHOUT = "without"  # all but the named one are kept


_SEEDED = (LossKind.SOME, LossKind.TORN)
_NAMING = (LossKind.ONLY, LossKind.WITHOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a power cut takes: `none`, `all`, `some:SEED`, `torn:SEED`, or with a write named by
    its log position P: `only:P`, `without:P`, `torn:P:S` (S sectors of it are kept)."""

    kind: LossKind
    seed: int = 0
    position: int | None = None  # of the named write, in the log
    sectors: int = 0  # kept of it, when it is torn

    def __str__(self) -> str:
        if self.position is not None:
            torn = f":{self.sectors}" if self.kind is LossKind.TORN else ""
            return f"{self.kind}:{self.position}{torn}"
        return f"{self.kind}:{self.seed}" if self.kind in _SEEDED else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> "Loss":
        """Read the printed form back; raises ValueError."""
        word, *fields = text.split(":")
        kinds = {str(kind): kind for kind in LossKind}
        if word not in kinds or not all(field.isdecimal() for field in fields):
            raise ValueError(f"{text!r} is not a valid loss: {_FORMS}")
        kind, numbers = kinds[word], [int(field) for field in fields]
        if kind is LossKind.TORN and len(numbers) == 2 and numbers[1] > 0:
            return cls(kind=kind, position=numbers[0], sectors=numbers[1])
        if kind in _NAMING and len(numbers) == 1:
            return cls(kind=kind, position=numbers[0])
        if kind in _SEEDED and len(numbers) <= 1:
            return cls(kind=kind, seed=numbers[0] if numbers else 0)
        if not numbers and kind in (LossKind.NONE, LossKind.ALL):
            return cls(kind=kind)
        raise ValueError(f"{text!r} is not a valid loss: {_FORMS}")


_FORMS = "none, all, some:SEED, torn:SEED, only:P, without:P or torn:P:S (P a log position, S > 0)"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a power cut did: the log position, and the fate of each unflushed write."""

    position: int  # number of log records before the cut
    loss: str  # Loss, printed
    unflushed: int  # writes that no flush had covered; under `sd`, those never answered
    kept: tuple[int, ...]  # log positions of those that were kept, in order
    torn: tuple[int, int] | None = None  # (log position, sectors kept of it)
    sha256: str = ""  # of the medium's whole content after the cut, where it was asked for
