"""Verdicts in the terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.evidence.evidence import Evidence
from harness.evidence.record import Outcome, Record, standing
from harness.plain import one_line

_STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.LAB_ERROR: "yellow"}


# A machine's cell in the table of several: verdict, boots and seconds under their heads.
_CELL = "{:12} {:>5} {:>7}"


def verdict_table(*runs: Evidence) -> Table:
    """One line a scenario: what was done, what became of the device, and why it counts.

    Several runs, one a machine: one group of columns each, `-` where a scenario did not run.
    """
    if len(runs) == 1:
        return _one_machine(runs[0])
    table = Table(caption_justify="left")
    table.add_column("scenario", overflow="fold", vertical="bottom")
    for evidence in runs:
        heads = _CELL.format("verdict", "boots", "seconds")
        name = f"{run_path(evidence)}\n{evidence.header.board}\n{heads}"
        table.add_column(Text(name), no_wrap=True)
    standings = [standing(evidence.records) for evidence in runs]
    for scenario in scenarios_of(runs):
        records = [records.get(scenario) for records in standings]
        table.add_row(_named(scenario, records), *map(_cell, records))
    table.caption = "\n".join(f"{e.subject.machine}: {summary_line(e)}" for e in runs)
    return table


def _one_machine(evidence: Evidence) -> Table:
    table = Table(title=f"{run_path(evidence)} on {evidence.header.board}", title_justify="left")
    table.add_column("scenario", overflow="fold")
    table.add_column("verdict")
    table.add_column("boots", justify="right")
    table.add_column("seconds", justify="right")
    for record in evidence.records:
        table.add_row(
            _named(record.scenario, [record]),
            Text(shown_verdict(record), style=_STYLES[record.outcome]),
            str(record.boots),
            f"{record.seconds:.1f}",
        )
    table.caption = summary_line(evidence)
    return table


def _cell(record: Record | None) -> Text:
    if record is None:
        return Text("-", style="dim")
    seconds = f"{record.seconds:.1f}"
    cell = Text(_CELL.format(shown_verdict(record), record.boots, seconds))
    cell.stylize(_STYLES[record.outcome], 0, len(shown_verdict(record)))
    return cell


def _named(scenario: str, records: Sequence[Record | None]) -> Text:
    """The scenario's id and, below it, why it did not pass: a column for that would fold ids."""
    name = Text(scenario)
    for record in records:
        for each in record.earlier if record else ():
            name.append(f"\n  tried again: {one_line(each.error)}", "dim")
        if record and not record.passed:
            machine = f"{record.machine}: " if len(records) > 1 else ""
            name.append(f"\n  {machine}{record.why}", _STYLES[record.outcome])
    return name


def run_path(evidence: Evidence) -> str:
    """From where to where a run led: `rpi4 1.0.0 -> 1.1.0`."""
    old, subject = evidence.header.from_release, evidence.subject
    start = f"{subject.machine} {old.version} ->" if old else subject.machine
    return " ".join([start, subject.version, *(f"({name})" for name in subject.variants)])


def scenarios_of(runs: Sequence[Evidence]) -> list[str]:
    """The ids of all scenarios that ran on any machine, in the order in which they ran."""
    return list(dict.fromkeys(r.scenario for evidence in runs for r in evidence.records))


def shown_verdict(record: Record) -> str:
    """The verdict, or `lab-error` where there is none."""
    return str(record.verdict or Outcome.LAB_ERROR)


def summary_line(evidence: Evidence) -> str:
    """Counts in words: `12 passed, 1 failed, 0 lab errors, 2 not checked`."""
    unchecked = len(evidence.header.left_out)
    return (
        (
            f"{evidence.count(Outcome.PASSED)} passed, {evidence.count(Outcome.FAILED)} failed, "
            f"{evidence.count(Outcome.LAB_ERROR)} lab errors"
        )
        + (f", {unchecked} not checked" if unchecked else "")
        + _of_others(evidence)
    )


def _of_others(evidence: Evidence) -> str:
    """Whose code had a say in the verdicts, where that is not the harness's own."""
    others = dict.fromkeys(part.of for part in evidence.header.foreign)
    return f", with parts of {' and '.join(others)}" if others else ""
