"""What scenarios came to on QEMU boards, and what the same ones came to on a bench.

A bench is as good as its verdicts: of one release they must be those of the QEMU board of its
machine. Where they are not, one of the two does not show what happens. Virtual benches and real
ones are compared each for themselves: neither stands for the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from harness.boards.lab_file import Kind
from harness.errors import ConfigurationError
from harness.evidence.evidence import Evidence
from harness.evidence.record import Record, standing
from harness.evidence.subject import Digests, Subject

_HEAD = """# Verdicts of a bench

{what}: what each scenario came to on a QEMU board, and on a bench. Made by `harness compare`.

| scenario | QEMU | bench | | boards |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario: what stands of it on either side, none where it did not run there. `kind`: of
    the bench; `left_out`: what it lacks for it."""

    scenario: str
    kind: Kind
    qemu: Record | None
    bench: Record | None
    left_out: str = ""

    @property
    def differs(self) -> bool:
        """Whether both have a verdict, and not the same one, or for one of them it counts."""
        if not (self.qemu and self.bench and self.qemu.verdict and self.bench.verdict):
            return False
        return _came_to(self.qemu) != _came_to(self.bench)

    @property
    def missing(self) -> bool:
        """Whether the bench has nothing to say of what a QEMU board has a verdict of, and tried."""
        return bool(self.bench and not self.bench.verdict and self.qemu and self.qemu.verdict)

    @property
    def boards(self) -> str:
        """Who they were."""
        return ", ".join(each.board for each in (self.qemu, self.bench) if each)

    @property
    def told(self) -> str:
        """One line: equal, or why there is nothing to compare."""
        if self.differs:
            return "differ"
        for record in (self.qemu, self.bench):
            if record and not record.verdict:
                return f"lab trouble on {record.board}: {record.error}".splitlines()[0]
        if self.qemu and self.bench:
            return "equal"
        if not self.bench:
            return f"left out: {self.left_out}" if self.left_out else "not run on a bench"
        return "not run on a QEMU board"


def compare(runs: Sequence[Evidence]) -> list[Compared]:
    """Each scenario of all runs, which are of one release, the oldest first, and from the version
    that the newest of them comes from: for each kind of bench that there is, in the order in which
    they ran. ConfigurationError when there is nothing on one of the sides."""
    runs = [run for run in runs if _old(run) == _old(runs[-1])]
    found = {kind: _records(runs, kind) for kind in Kind}
    qemu = found.pop(Kind.QEMU)
    for records, what in ((qemu, "a QEMU board"), (any(found.values()), "a bench")):
        if not records:
            raise ConfigurationError(
                f"no evidence of {what} for this release",
                hint="`harness test RELEASE --from OLD --board BOARD --lab FILE --all`",
            )
    return [
        each
        for kind, bench in found.items()
        if bench
        for each in _beside(kind, qemu, bench, _left_out(runs, kind))
    ]


def _beside(
    kind: Kind, qemu: Mapping[str, Record], bench: Mapping[str, Record], lacks: Mapping[str, str]
) -> Iterator[Compared]:
    for name in dict.fromkeys((*qemu, *bench, *lacks)):
        yield Compared(
            scenario=name,
            kind=kind,
            qemu=qemu.get(name),
            bench=bench.get(name),
            left_out=lacks.get(name, ""),
        )


def _records(runs: Sequence[Evidence], kind: Kind) -> dict[str, Record]:
    """What stands of each scenario on boards of that kind."""
    return standing(each for run in runs for each in run.records if _kind(run, each) is kind)


def _left_out(runs: Sequence[Evidence], kind: Kind) -> dict[str, str]:
    found = dict[str, str]()
    for run in runs:
        if any(each.kind is kind for each in run.header.benches.values()):
            found |= run.header.left_out
    return found


def _kind(run: Evidence, record: Record) -> Kind:
    told = run.header.benches.get(record.board)
    return told.kind if told else Kind.QEMU


def _old(run: Evidence) -> Digests | None:
    return run.header.from_release.digests if run.header.from_release else None


def _came_to(record: Record) -> tuple[str, bool]:
    return str(record.verdict), record.passed


def _shown(record: Record | None) -> str:
    if record is None:
        return "-"
    if not record.verdict:
        return "lab-error"
    return str(record.verdict) if record.passed else f"{record.verdict} (failed)"


def comparison_table(compared: Sequence[Compared]) -> Table:
    """For a terminal."""
    table = Table("scenario", "QEMU", "bench", "", "boards")
    for each in compared:
        style = "bold red" if each.differs or each.missing else ""
        told = Text(each.told, style=style)
        names = (Text(each.scenario), _shown(each.qemu), _shown(each.bench))
        table.add_row(*names, told, Text(each.boards))
    table.caption = "\n".join(summaries(compared))
    return table


def page(subject: Subject, compared: Sequence[Compared]) -> str:
    """The same in Markdown, to be kept beside other documents."""
    lines = [
        f"| `{each.scenario}` | {_shown(each.qemu)} | {_shown(each.bench)} | "
        f"{each.told.replace('|', chr(92) + '|')} | {each.boards} |\n"
        for each in compared
    ]
    head = _HEAD.format(what=f"{subject.machine} {subject.version}")
    return head + "".join(lines) + "".join(f"\n{each}.\n" for each in summaries(compared))


def summaries(compared: Sequence[Compared]) -> list[str]:
    """Counts in words, for each kind of bench."""
    return [
        f"{kind}: {told.count('equal')} equal, {told.count('differ')} differ, "
        f"{sum(each not in ('equal', 'differ') for each in told)} cannot be compared"
        for kind, told in _by_kind(compared).items()
    ]


def problems(compared: Sequence[Compared]) -> list[str]:
    """Why benches do not show what QEMU boards do, a line each; none when they do."""
    found = []
    for what, which in (
        ("differ", [each for each in compared if each.differs]),
        ("no verdict of the bench", [each for each in compared if each.missing]),
    ):
        found += [f"{each.scenario}: {what} ({each.boards})" for each in which]
    nothing = [kind for kind, told in _by_kind(compared).items() if "equal" not in told]
    return found + [f"{kind}: no scenario came to the same on both" for kind in nothing]


def _by_kind(compared: Sequence[Compared]) -> dict[Kind, list[str]]:
    found: dict[Kind, list[str]] = {}
    for each in compared:
        found.setdefault(each.kind, []).append(each.told)
    return found
