"""The pages a person reads after a run: plain HTML files, nothing loaded from anywhere else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from pydantic import JsonValue

from harness import files
from harness.evidence.aimed import landed
from harness.evidence.attachments import REPORT_FILE
from harness.evidence.evidence import Evidence
from harness.evidence.record import Outcome, Record, standing
from harness.evidence.store import Stored
from harness.evidence.table import run_path, scenarios_of, shown_verdict, summary_line
from harness.plain import plain

MATRIX_FILE = "matrix.html"

# First word of an event -> the colour class of its mark; anything else is drawn as `other`.
_KINDS = {
    "install": "install",
    "download": "install",
    "cut": "cut",
    "power-cut": "cut",
    "reset": "cut",
    "link": "cut",
    "boot": "boot",
    "reboot": "boot",
    "login": "boot",
    "commit": "commit",
    "verdict": "commit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """One event of a timeline, placed: `x` in 0..1000 units of the drawing."""

    x: float
    seconds: float
    event: str
    kind: str
    detail: str


def write_report(evidence: Evidence, folder: Path) -> Path:
    """Write `report.html` into a run's folder, with links relative to it; returns its path."""
    page = _template("report.html.j2").render(
        evidence=evidence,
        header=evidence.header,
        subject=evidence.subject,
        summary=summary_line(evidence),
        counts=[(str(outcome), evidence.count(outcome)) for outcome in Outcome],
        seconds=sum(record.seconds for record in evidence.records),
        shown_verdict=shown_verdict,
        timeline=_timeline,
        there=lambda log: (folder / log).is_file(),
        tools=_tool_rows(evidence),
        aimed=landed(evidence.records),
    )
    file = folder / REPORT_FILE
    files.write_whole(file, page.encode())
    return file


def write_matrix(runs: Sequence[Stored], folder: Path) -> Path:
    """Write `matrix.html` into the store at `folder`: machines by scenarios, with links to the
    reports of their runs, which lie below it; returns its path."""
    told = [
        {
            "path": run_path(stored.evidence),
            "board": stored.evidence.header.board,
            "summary": summary_line(stored.evidence),
            "report": str((stored.folder / REPORT_FILE).relative_to(folder)),
            "standing": standing(stored.evidence.records),
        }
        for stored in runs
    ]
    file = folder / MATRIX_FILE
    page = _template("matrix.html.j2").render(
        runs=told,
        scenarios=scenarios_of([stored.evidence for stored in runs]),
        shown_verdict=shown_verdict,
    )
    files.write_whole(file, page.encode())
    return file


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.evidence", "."),
        autoescape=True,
        finalize=_in_page,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _timeline(record: Record) -> list[_Mark]:
    marks = sorted(record.timeline, key=_seconds)
    end = max([record.seconds, *map(_seconds, marks)], default=0) or 1.0
    return [_placed(mark, end) for mark in marks]


def _in_page(value: object) -> object:
    """Texts of records without what steers a terminal, or turns the direction of a line."""
    return plain(value) if type(value) is str else value


def _seconds(mark: dict[str, Any]) -> float:
    """When something was; a number that is none, or too large for one, is the beginning."""
    try:
        found = float(mark["seconds"])
    except OverflowError:
        return 0.0
    return found if math.isfinite(found) else 0.0


def _placed(mark: dict[str, Any], end: float) -> _Mark:
    event = str(mark["event"])
    words = event.replace(":", " ").replace("[", " ").split()
    rest = {key: value for key, value in mark.items() if key not in ("seconds", "event")}
    seconds = _seconds(mark)
    return _Mark(
        x=round(10 + 980 * seconds / end, 1),
        seconds=seconds,
        event=event,
        kind=_KINDS.get(words[0] if words else "", "other"),
        detail=", ".join(f"{key} {value}" for key, value in rest.items()),
    )


def _tool_rows(evidence: Evidence) -> list[tuple[str, str]]:
    return [(name, _shown(version)) for name, version in sorted(evidence.header.tools.items())]


def _shown(version: JsonValue) -> str:
    if isinstance(version, dict):
        return ", ".join(f"{key} {value}" for key, value in version.items())
    return "not there" if version is None else str(version)
