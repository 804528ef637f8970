"""What scenarios came to on QEMU boards, and what the same ones came to on a bench.

A bench is as good as its verdicts: of one release they must be those of the QEMU board of its
machine. Where they are not, one of the two does not show what happens.
"""

from collections.abc import Sequence
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

| scenario | QEMU | bench | |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario: what stands of it on either side, none where it did not run there. `left_out`:
    what the bench lacks for it."""

    scenario: str
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
    that the newest of them comes from; in the order in which they ran. ConfigurationError when
    there is nothing on one of the sides."""
    runs = [run for run in runs if _old(run) == _old(runs[-1])]
    of_qemu = [each for run in runs for each in run.records if _kind(run, each) is Kind.QEMU]
    of_benches = [each for run in runs for each in run.records if _kind(run, each) is not Kind.QEMU]
    for records, what in ((of_qemu, "a QEMU board"), (of_benches, "a bench")):
        if not records:
            raise ConfigurationError(
                f"no evidence of {what} for this release",
                hint="`harness test RELEASE --from OLD --board BOARD --lab FILE --all`",
            )
    qemu, bench = standing(of_qemu), standing(of_benches)
    lacks = dict[str, str]()
    for run in runs:
        lacks |= run.header.left_out if run.header.benches else {}
    return [
        Compared(
            scenario=name,
            qemu=qemu.get(name),
            bench=bench.get(name),
            left_out=lacks.get(name, ""),
        )
        for name in dict.fromkeys((*qemu, *bench, *lacks))
    ]


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
    table = Table("scenario", "QEMU", "bench", "")
    for each in compared:
        style = "bold red" if each.differs else ""
        told = Text(each.told, style=style)
        table.add_row(Text(each.scenario), _shown(each.qemu), _shown(each.bench), told)
    table.caption = summary(compared)
    return table


def page(subject: Subject, compared: Sequence[Compared]) -> str:
    """The same in Markdown, to be kept beside other documents."""
    lines = [
        f"| `{each.scenario}` | {_shown(each.qemu)} | {_shown(each.bench)} | "
        f"{each.told.replace('|', chr(92) + '|')} |\n"
        for each in compared
    ]
    head = _HEAD.format(what=f"{subject.machine} {subject.version}")
    return head + "".join(lines) + f"\n{summary(compared)}.\n"


def summary(compared: Sequence[Compared]) -> str:
    """Counts in words."""
    told = [each.told for each in compared]
    equal, differ = told.count("equal"), told.count("differ")
    return f"{equal} equal, {differ} differ, {len(told) - equal - differ} cannot be compared"
