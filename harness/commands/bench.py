"""Commands of the bench: what an engineer does with one board, by hand."""

from dataclasses import asdict
from typing import Annotated

import typer

from harness.commands.terminal import (
    BoardName,
    BoardNames,
    Json,
    Lab,
    ReleaseFolder,
    Store,
    answer,
    show,
)


def flash(
    release: ReleaseFolder,
    *,
    board: BoardNames,
    lab: Lab,
    as_json: Json = False,
) -> None:
    """Write a release's disk image to boards; they are off before and after.

    [dim]harness flash out/1.1.0 --board gateway-qemu[/]
    """
    from harness.boards import bench
    from harness.product.release import load

    found = load(release)
    found.verify()
    for name in board:
        bench.flash(found.disk_image, name, machine=found.machine, lab=lab)
    answer(
        as_json, f"flashed {', '.join(board)} with {release}", boards=board, release=str(release)
    )


def console(board: BoardName, *, lab: Lab) -> None:
    """Sit at a board's serial console; Ctrl-] leaves.

    [dim]harness console gateway-qemu[/]
    """
    from harness.boards import bench

    bench.console(board, lab=lab)


def ssh(
    board: BoardName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Instead of a shell.")
    ] = None,
    *,
    lab: Lab,
) -> None:
    """Open a shell on a board, or run one command there.

    [dim]harness ssh gateway-qemu -- gateway-update status[/]
    """
    from harness.boards import bench

    raise typer.Exit(bench.ssh(board, command or [], lab=lab))


def power(
    board: BoardName,
    action: Annotated[str, typer.Argument(metavar="on|off|cycle|cut|status")] = "status",
    *,
    lab: Lab,
) -> None:
    """Switch a board's power.

    [dim]harness power gateway-qemu cycle[/]
    """
    from harness.boards import bench

    show(bench.power(board, action, lab=lab))


def status(*, lab: Lab, store: Store = None, as_json: Json = False) -> None:
    """Show the boards of a lab, what they run, and their last verdicts.

    [dim]harness status --json[/]
    """
    from rich.table import Table

    from harness.boards import bench
    from harness.evidence import signing
    from harness.evidence.store import EvidenceStore

    newest = EvidenceStore(store).newest([signing.load_signer().public_key])
    table = Table("board", "machine", "power", "held by", "flashed", "last verdict", box=None)
    boards = []
    for each in bench.status(lab=lab):
        subject, record = newest.get(each.board, (None, None))
        last = f"{record.scenario} of {subject}: {record.verdict or 'none'}" if record else ""
        holder = f"process {each.holder}" if each.holder else each.place
        table.add_row(each.board, each.machine, each.power, holder, each.version, last)
        boards.append({**asdict(each), "last_verdict": last})
    answer(as_json, table, boards=boards)
