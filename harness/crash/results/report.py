"""The report of an exploration: one HTML file that draws the update and how each cut in it ends.

It is self-contained: data, drawing (`strip.js`) and style are in the file, nothing is loaded.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from harness import files
from harness.crash.equivalence.families import Family
from harness.crash.results.results import Bad, Results, Write, load
from harness.crash.results.strip import replay_command, strip
from harness.crash.states.cut import parse
from harness.judge.verdict import Verdict
from harness.medium.model import LossKind

FILE = "report.html"
_SHOWN = 200  # rows of a table; the rest is in results.json

# Rule of decision -> in words, behind a number of cut points.
RULES = {
    "booted": "were booted",
    "equal-content": "are equal in content to a state that was booted",
    "read-set": "differ from a booted state only where no boot looked",
    "recovery": "become equal to a booted state when the journal is recovered",
    "carried": "agree with a state of another recording that was booted there",
}
# Model of the medium -> which writes are in doubt.
MODELS = {
    "disk": "A cut point is a log position with one loss of the writes that no flush had covered.",
    "sd": "A cut point is a log position, with the write that was under way absent, complete or "
    "torn at one of its sectors; the card keeps the order of writes.",
    "sd~": "A cut point is a log position with one loss of the write that was under way and the "
    "last ones that the card had answered: as if it had a cache of so many that it loses.",
}
# Kinds of losses, in words, behind a number of cut points.
LOSSES = {
    Family.ALL: "with everything kept",
    Family.NONE: "with everything in doubt lost",
    Family.SINGLE: "with one write lost, or kept, alone: each",
    Family.TORN: "with the newest write torn: at each of its sectors",
    Family.BORDER: "with another write torn, or one kept in part alone: where structures begin "
    "and end, short writes at each sector",
    Family.PAIR: "with two writes lost, or kept, together: each two",
    Family.SUBSET: "with a mixture of more writes: a sample, drawn by seeds",
}
_LOSSES = {LossKind.WITHOUT: "lost", LossKind.ONLY: "kept alone", LossKind.TORN: "torn"}


def write(run: Path) -> Path:
    """Write `run`/report.html from `run`/results.json; returns its path.

    Raises ConfigurationError when there are no results, or of another schema.
    """
    results = load(run)
    files.write_whole(run / FILE, page(results, run).encode())
    return run / FILE


def page(results: Results, run: Path) -> str:
    """The page about the results of a recording in `run`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.crash.results", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = "{:,}".format
    return environment.get_template("report.html.j2").render(
        results=results,
        recording=results.recording,
        counts=results.counts,
        headline=headline(results),
        coverage=coverage(results),
        legend=legend(results),
        rules=rules(results),
        audit=audited(results),
        bad=[_bad_row(results, bad) for bad in results.bad[:_SHOWN]],
        proofs=sorted(results.proofs, key=lambda proof: -proof.decides)[:_SHOWN],
        model=MODELS.get("".join(results.recording.model.partition("~")[:2]), ""),
        losses=losses(results),
        replay=lambda state: replay_command(run, state),
        strip=_embedded(strip(results, run)),
    )


def summary(results: Results) -> Table:
    """The verdicts for the terminal, and under them how far they go."""
    told = results.recording
    table = Table("verdict", "cut points")
    table.columns[1].justify = "right"
    for name, count in legend(results):
        bad = name in ("bricked", "inconsistent", "undecided") and count
        table.add_row(Text(name, style="bold red" if bad else ""), f"{count:,}")
    page = Table.grid()  # a table's own title and caption are folded to its width
    title = f"{told.machine} {told.old} -> {told.new} on {told.board}: {headline(results)}"
    page.add_row(Text(title, style="" if results.good else "bold red"))
    page.add_row(table)
    page.add_row(Text(coverage(results)))
    for text, count in (*losses(results), *rules(results)):
        page.add_row(Text(f"  {count:,} {text}"))
    page.add_row(Text(audited(results)))
    for problem in results.problems:
        page.add_row(Text(f"not proven: {problem}", style="bold red"))
    return page


def headline(results: Results) -> str:
    """The verdict of verdicts, in one line."""
    found = [f"{results.count(verdict):,} {verdict}" for verdict in Verdict if verdict.failed]
    if results.counts.undecided:
        found.append(f"{results.counts.undecided:,} undecided")
    return f"{', '.join(found)} of {results.counts.cut_points:,} cut points"


def coverage(results: Results) -> str:
    """How far the headline goes; the word "exhaustive" is only ever said with the numbers."""
    counts, proven = results.counts, results.exhaustive
    told = [
        f"{counts.enumerated if proven else counts.cut_points:,} cut points, "
        f"{counts.undecided:,} undecided",
        f"{counts.distinct:,} distinct states, {counts.booted:,} booted",
    ]
    told.append(
        f"{counts.came_back:,} of all {len(results.boots):,} boots judged again after a reboot"
    )
    if counts.drawn and proven:
        told.append(f"and {counts.drawn:,} mixtures of more writes, which are a sample of all")
    return f"{'Exhaustive' if proven else 'Not exhaustive'}: {'; '.join(told)}"


def losses(results: Results) -> list[tuple[str, int]]:
    """(kind of loss in words, cut points); the ones that there are."""
    counted = results.counts.losses
    return [(LOSSES[each], counted[each]) for each in Family if counted.get(each)]


def legend(results: Results) -> list[tuple[str, int]]:
    """(verdict or `undecided`, cut points), in the order in which they are shown."""
    counted = [(str(verdict), results.count(verdict)) for verdict in Verdict]
    return [*counted, ("undecided", results.counts.undecided)]


def rules(results: Results) -> list[tuple[str, int]]:
    """(how, cut points) for each rule by which verdicts were found."""
    decided = results.counts.decided
    names = sorted(decided, key=lambda name: [*RULES, name].index(name))
    return [(RULES.get(name, name), decided[name]) for name in names]


def audited(results: Results) -> str:
    """What the real readers said of the states that were decided without a boot."""
    made = results.audit
    if made is None:
        return "The real readers were not asked."
    told = (
        f"{made.kinds:,} kinds of states were given to e2fsck and the boot selection's own tool: "
    )
    if not made.odd:
        return f"{told}each left them as the state did that was booted for it."
    return f"{told}{len(made.odd):,} otherwise than the rules say, and were told apart."


def size(length: int) -> str:
    """Bytes, as people say them; in KiB or MiB only where that is exact."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if length >= factor and length % factor == 0:
            return f"{length // factor:,} {unit}"
    return f"{length:,} bytes"


def _bad_row(results: Results, bad: Bad) -> dict[str, Any]:
    """A row of the table: the state, which write its loss is about, and the last one before."""
    cut = parse(bad.state).first
    lost, last = cut.loss, _record(results.writes, cut.at - 1)
    told = [f"last record before the cut: {_told(last)}"] if last else []
    named = [_record(results.writes, position) for position in lost.positions]
    torn = f", the first {lost.sectors:,} sectors" if lost.sectors else ""
    about = [f"{_LOSSES[lost.kind]}: {_told(write)}{torn}" for write in named if write]
    told = [*about, *told]
    return {"bad": bad, "told": told, "phase": last.phase if last else ""}


def _record(writes: Sequence[Write], position: int) -> Write | None:
    """The record at a log position; the records of a recording have no gaps."""
    index = position - writes[0].position if writes else -1
    return writes[index] if 0 <= index < len(writes) else None


def _told(write: Write) -> str:
    if write.kind in ("flush", "mark"):
        return f"record {write.position:,}: {write.kind}"
    fua = ", FUA" if write.fua else ""
    return f"record {write.position:,}: {write.structure}, {size(write.length)}{fua}"


def _embedded(data: Any) -> Markup:
    """JSON for a script element: `<` must not end it (HTML, 4.12.1.3)."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704 - nothing in it can end the element
