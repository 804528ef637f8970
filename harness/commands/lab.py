"""Commands of a lab: `harness lab ...` plays one, `harness doctor` looks at one."""

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import Json, Lab, answer, show

app = typer.Typer(name="lab", help="Play a bench that has no hardware.", no_args_is_help=True)


@app.command()
def simulate(
    lab: Annotated[Path, typer.Argument(metavar="LAB", help="Lab file with the key `simulate`.")],
) -> None:
    """Play the bench that a lab file describes, until Ctrl-C or SIGTERM.

    Coordinator, exporter, PDU, serial lines, SD muxes, boards: on loopback, as root.

    [dim]harness lab simulate labs/virtual-rack.yaml[/]
    """
    from harness.simulate.bench import VirtualBench

    with VirtualBench(lab) as bench:
        rack = bench.rack
        show(f"coordinator {rack.coordinator}, {len(rack.boards)} boards: {', '.join(rack.boards)}")
        show(f"use it with: --lab {lab}")
        while True:
            signal.pause()


PlayedLab = Annotated[
    Path, typer.Argument(metavar="LAB", help="Lab file whose virtual bench runs.")
]
Places = Annotated[
    list[str] | None,
    typer.Option("--board", "-b", help="Place of a board; may be given again. Default: all."),
]


@app.command()
def plant(
    lab: PlayedLab,
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="What shall be wrong.")],
    *,
    board: Places = None,
) -> None:
    """Plant a bench fault in a virtual bench that runs: to see that it is noticed.

    [dim]harness lab plant labs/virtual-rack.yaml welded-relay[/]
    """
    from harness.errors import ConfigurationError
    from harness.simulate import bench
    from harness.simulate.faults import BenchFault

    if fault not in list(BenchFault):
        raise ConfigurationError(f"no bench fault {fault!r}", hint=", ".join(BenchFault))
    bench.plant(lab, BenchFault(fault), board or ())
    show(f"planted: {fault}")


@app.command()
def heal(lab: PlayedLab, *, board: Places = None) -> None:
    """Nothing is wrong any more with a virtual bench that runs.

    [dim]harness lab heal labs/virtual-rack.yaml[/]
    """
    from harness.simulate import bench

    bench.heal(lab, board or ())
    show("nothing is planted any more")


def doctor(
    board: Annotated[
        list[str] | None, typer.Argument(metavar="[BOARD]...", help="Default: all of the lab.")
    ] = None,
    *,
    without: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Take it for well; may be given again.")
    ] = None,
    lab: Lab,
    as_json: Json = False,
) -> None:
    """Look at each part of a bench, cheap to dear, and say what to do about it.

    Boards are switched on for it, and are off at the end; what is on their cards stays.

    [dim]harness doctor gateway-virtual-1 --lab labs/virtual-rack.yaml[/]
    """
    from rich.table import Table

    from harness.boards.doctor.examine import examine
    from harness.boards.doctor.finding import Wellness
    from harness.boards.lab import board_options
    from harness.errors import LabError

    found = {
        name: examine(lab, name, without=without or ())
        for name in board or sorted(board_options(lab))
    }
    table = Table("board", "part", "", "what was seen, and what to do", box=None)
    for name, findings in found.items():
        for each in findings:
            fix = f"\n-> {each.fix}" if each.fix else ""
            table.add_row(name, each.part, str(each.health), each.told + fix)
    answer(as_json, table, boards={name: [asdict(each) for each in found[name]] for name in found})
    ill = {
        name: [each.part for each in findings if each.health is Wellness.ILL]
        for name, findings in found.items()
    }
    if any(ill.values()):
        told = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in ill.items() if parts)
        raise LabError(f"the bench is not well: {told}")
