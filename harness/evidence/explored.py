"""The record of an exploration as its readers see it: by numbers alone, without the explorer."""

from typing import Any

from harness.evidence.record import Record
from harness.judge.verdict import Verdict

SCENARIO = "crash"
CACHED = "crash-card-cache"  # of a card that is taken to have a cache: it never counts as the other
EXPLORED = (SCENARIO, CACHED)


def told(record: Record) -> str:
    """The numbers of such a record in one line."""
    verdicts = ", ".join(f"{count(record, 'verdicts', each):,} {each}" for each in Verdict)
    cut_points, booted = count(record, "cut_points"), count(record, "booted")
    return f"{verdicts} of {cut_points:,} cut points, {booted:,} booted"


def count(record: Record, *keys: str) -> int:
    """A number of such a record; 0 when it has none there, whatever it has."""
    found: Any = record.fault.parameters if record.fault else {}
    for key in keys:
        found = found.get(str(key)) if isinstance(found, dict) else None
    return found if isinstance(found, int) else 0
