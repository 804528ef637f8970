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
    TORN = "torn"  # like SOME, and one of the kept ones is cut off at a 512-byte sector, seeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss model with its seed; prints as `none`, `all`, `some:7`, `torn:7`."""

    kind: LossKind
    seed: int = 0

    def __str__(self) -> str:
        seeded = self.kind in (LossKind.SOME, LossKind.TORN)
        return f"{self.kind}:{self.seed}" if seeded else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> "Loss":
        """Read the printed form back; raises ValueError."""
        kind, _, seed = text.partition(":")
        return cls(kind=LossKind(kind), seed=int(seed or 0))


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
