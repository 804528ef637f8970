"""What is known of the designs, made of their stored results: for a terminal, and as docs/designs.

Numbers never stand alone: beside what was found stands what was covered. A design without a finding
is not called safe.
"""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from harness.designs.design import Design
from harness.designs.results import CutFinding, ScenarioResult, VariantResult
from harness.designs.run import stored

_NEVER = "never run"
_HEAD = """# Public designs

What products copy from manuals, put through the same scenarios as ours. Each design is a folder in
`images/designs`: built from Debian's packages by a script of its own, with no program of the
harness in it, adopted by a profile ([adopt](../adopt.md)), judged by what it promises itself.

    harness designs                                        # what is known
    harness designs run NAME [--variant V] [--budget 30m]  # build, run, store; goes on where it was
    harness designs run NAME --scenario S --again          # one of its scenarios, once more
    harness designs table --output docs/designs/README.md  # this page, made of the stored results

*Covered* says what was looked at, and no more: a design without a finding is not a safe one.

Two designs are not here yet. Mender standalone with its stock U-Boot policy: Debian has the client
(bookworm, 3.4), but its U-Boot for QEMU's `virt` keeps no environment on a disk, so that it takes a
U-Boot built for a board with a card. The Raspberry Pi's `tryboot`: our stand-in for its firmware
reads config.txt alone, and knows no flag that lasts over a reset.
"""


def shown(designs: Mapping[str, Design]) -> Table:
    """For a terminal."""
    table = Table("design", "variant", "what it is", "last run", "covered", "found")
    for design in designs.values():
        for name, result in stored(design):
            what = f"{design.title}; {design.variants[name].what}"
            day = result.last if result else _NEVER
            table.add_row(
                design.name, name, what, day, covered(result, design.wanted(name)), found(result)
            )
    return table


def covered(result: VariantResult | None, wanted: Sequence[str]) -> str:
    """How much was looked at, of how much."""
    if result is None:
        return "nothing"
    told = [f"{len(result.judged)} of {len(wanted)} scenarios"]
    if result.left_out:
        told.append(f"{len(result.left_out)} left out")
    if explored := result.explored:
        told.append(f"{explored.decided:,} of {explored.total:,} cut points of one update")
    else:
        told.append("cut points not explored")
    return ", ".join(told)


def found(result: VariantResult | None) -> str:
    """What failed, in short."""
    if result is None:
        return "nothing is known"
    told = [f"{each.scenario}: {each.ending}" for each in result.findings]
    if result.explored and result.explored.bad:
        told.append(f"{result.explored.bad:,} cut points end badly")
    return "; ".join(told) or "no finding in what was covered"


def page(designs: Mapping[str, Design]) -> str:
    """All of docs/designs/README.md."""
    lines = [_HEAD, "| design | variant | boot selection | last run | covered | found |"]
    lines.append("|---|---|---|---|---|---|")
    details: list[str] = []
    for design in designs.values():
        for name, result in stored(design):
            cells = (
                *(f"[{design.name}]({design.name}.md)", name, design.boot_selection),
                *(
                    result.last if result else _NEVER,
                    covered(result, design.wanted(name)),
                    found(result),
                ),
            )
            lines.append(f"| {' | '.join(_cell(each) for each in cells)} |")
            details += _details(design, name, result) if result else []
    return "\n".join([*lines, "", *details]).rstrip() + "\n"


def _details(design: Design, name: str, result: VariantResult) -> list[str]:
    """What was run, of which packages, and each finding with the command that shows it."""
    versions = ", ".join(f"{package} {told}" for package, told in result.packages.items())
    lines = [f"## {design.name}, {name}", "", f"{design.variants[name].what}.", ""]
    lines += [f"Packages: {versions}; list of all: SHA-256 `{result.packages_sha256}`."]
    lines += [f"Harness {result.harness}, {result.accelerator}.", ""]
    lines += ["| scenario | verdict | expected | |", "|---|---|---|---|"]
    lines += [_row(each) for each in result.scenarios]
    lines += [f"| {scenario} | left out | | {_cell(why)} |" for scenario, why in _sorted(result)]
    lines += [f"| {scenario} | not run yet | | |" for scenario in result.waiting]
    if result.not_explored:
        lines += ["", f"Cut points not explored: {_cell(result.not_explored)}."]
    for finding in result.findings:
        lines += ["", *_finding(finding)]
    for cut in result.explored.found if result.explored else ():
        lines += ["", *_cut_finding(cut)]
    return [*lines, ""]


def _sorted(result: VariantResult) -> Iterable[tuple[str, str]]:
    return sorted(result.left_out.items())


def _row(each: ScenarioResult) -> str:
    expected = ", ".join(each.expected) or "-"
    cells = f"`{each.scenario}`", each.ending, expected, "; ".join(each.why)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _finding(each: ScenarioResult) -> list[str]:
    """With what the cut was: how many writes it met, and which of them were kept."""
    cut = each.cut.get("cut")
    lines = [f"`{each.scenario}` ends {each.ending}, where {' or '.join(each.expected)} is due:"]
    if isinstance(cut, dict):
        position, unflushed = cut.get("position"), cut.get("unflushed")
        lines[0] = (
            f"`{each.scenario}`, cut after {position} records of the write log with {unflushed}"
            f" writes in doubt, ends {each.ending}, where {' or '.join(each.expected)} is due:"
        )
    lines += ["", *(f"- {_cell(why)}" for why in each.why), "", f"    {each.replay}"]
    return lines


def _cut_finding(each: CutFinding) -> list[str]:
    lines = [f"{each.cuts:,} cuts in `{each.phase}` (second ones counted in) end {each.verdict}:"]
    return [*lines, "", *(f"- {_cell(why)}" for why in each.why), "", f"    {each.replay}"]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
