"""Verdicts in the terminal."""

from rich.table import Table
from rich.text import Text

from harness.evidence.evidence import Evidence
from harness.evidence.record import Outcome, Record

_STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.LAB_ERROR: "yellow"}


def verdict_table(evidence: Evidence) -> Table:
    """One line a scenario: what was done, what became of the device, and why it counts."""
    table = Table(title=f"{evidence.subject} on {evidence.header.board}", title_justify="left")
    table.add_column("scenario", overflow="fold")
    table.add_column("verdict")
    table.add_column("boots", justify="right")
    table.add_column("seconds", justify="right")
    for record in evidence.records:
        table.add_row(
            _named(record),
            Text(shown_verdict(record), style=_STYLES[record.outcome]),
            str(record.boots),
            f"{record.seconds:.1f}",
        )
    table.caption = summary_line(evidence)
    return table


def _named(record: Record) -> Text:
    """The scenario's id and, below it, why it did not pass: a column for that would fold ids."""
    if record.passed:
        return Text(record.scenario)
    return Text.assemble(record.scenario, "\n", (f"  {record.why}", _STYLES[record.outcome]))


def shown_verdict(record: Record) -> str:
    """The verdict, or `lab-error` where there is none."""
    return str(record.verdict or Outcome.LAB_ERROR)


def summary_line(evidence: Evidence) -> str:
    """Counts in words: `12 passed, 1 failed, 0 lab errors`."""
    return (
        f"{evidence.count(Outcome.PASSED)} passed, {evidence.count(Outcome.FAILED)} failed, "
        f"{evidence.count(Outcome.LAB_ERROR)} lab errors"
    )
