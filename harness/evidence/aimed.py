"""What aimed power cuts have shown: how many landed in each phase, and what that says.

n cuts without a failure show with 95 % certainty that less than 1 - 0.05^(1/n) of such cuts fail:
the exact (Clopper-Pearson) bound for none in n. It speaks of cuts as these were, on these boards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.evidence.record import Record

_CERTAIN = 0.95
_AIMED = "aimed-cut["


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
        return f"fewer than {self.bound:.1%} fail (95 %)"


def landed(records: Iterable[Record]) -> list[Landed]:
    """By phase, in the order in which they occur in the records."""
    found: dict[str, list[Record]] = {}
    missed: dict[str, int] = {}
    for record in records:
        told = record.fault.parameters if record.fault else {}
        if not record.scenario.startswith(_AIMED) or record.verdict is None:
            continue
        phase = str(told.get("struck", "unknown"))
        found.setdefault(phase, []).append(record)
        missed[phase] = missed.get(phase, 0) + len(told.get("missed", ()))
    return [
        Landed(
            phase=phase,
            cuts=len(each),
            failed=sum(not record.passed for record in each),
            missed=missed[phase],
        )
        for phase, each in found.items()
    ]
