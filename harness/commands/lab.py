"""Commands of a lab: `harness lab simulate`."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import show

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
