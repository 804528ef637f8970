"""What aimed power cuts have shown: how many landed in each phase, and what that says.

n cuts without a failure show with 95 % certainty that less than 1 - 0.05^(1/n) of such cuts fail:
the exact (Clopper-Pearson) bound for none in n. It speaks of cuts as these were, on these boards.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.evidence.record import Record

_CERTAIN = 0.95
_AIMED, _BISECTED = "aimed-cut[", "bisected-cuts["


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """The cuts that struck one phase, and how many of them ended badly; `missed`: cuts that were
    aimed at it and struck elsewhere."""

    phase: str
    cuts: int
    failed: int
    missed: int

    @property
    def bound(self) -> float | None:
        """What share of such cuts may still fail; None when one did."""
        return None if self.failed else 1 - (1 - _CERTAIN) ** (1 / self.cuts)

    @property
    def told(self) -> str:
        """In words."""
        if self.bound is None:
            return f"{self.failed} of {self.cuts} failed"
        least = math.ceil(self.bound * 1000) / 10  # rounded up: less has not been shown
        return f"fewer than {least:.1f}% fail (95 %)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _AimedCut:
    phase: str
    missed: int
    passed: bool


def landed(records: Iterable[Record]) -> list[Landed]:
    """By phase, in the order in which they occur in the records."""
    found: dict[str, list[_AimedCut]] = {}
    for cut in (cut for record in records for cut in _cuts_of(record)):
        found.setdefault(cut.phase, []).append(cut)
    return [
        Landed(
            phase=phase,
            cuts=len(cuts),
            failed=sum(not each.passed for each in cuts),
            missed=sum(each.missed for each in cuts),
        )
        for phase, cuts in found.items()
    ]


def _cuts_of(record: Record) -> Iterator[_AimedCut]:
    """Those of a record that has a verdict; none of one that failed before a cut was made."""
    told = record.fault.parameters if record.fault else {}
    if record.verdict is None:
        return
    if record.scenario.startswith(_BISECTED):
        each: list[dict[str, Any]] = told.get("cuts", [])
    elif record.scenario.startswith(_AIMED) and "struck" in told:
        each = [{**told, "passed": record.passed}]
    else:
        return
    for cut in each:
        missed = len(cut.get("missed", ()))
        yield _AimedCut(phase=str(cut["struck"]), missed=missed, passed=bool(cut["passed"]))
