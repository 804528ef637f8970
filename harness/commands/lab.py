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
