"""`harness doctor`: all looks at one board of a lab, whatever plays it."""

from collections.abc import Collection
from pathlib import Path

from harness.boards import bench as by_hand
from harness.boards import lab_file
from harness.boards.doctor.bench import ExaminedBench
from harness.boards.doctor.board import OnBoard
from harness.boards.doctor.finding import Finding, Look, look_at_all
from harness.boards.lab import open_board
from harness.boards.lab_file import Kind
from harness.errors import HarnessError
from harness.log import emit


def examine(lab: Path, board: str, *, without: Collection[str] = ()) -> list[Finding]:
    """Each part of a board's bench, those in `without` taken for well. Nobody else may have it
    meanwhile; it is off at the end."""
    lab_file.require_name(board)
    found = lab_file.load(lab)
    found.target(lab, board)
    if found.kind(board) is Kind.QEMU:
        return look_at_all(_played(lab, board), board=board, without=without)
    bench = ExaminedBench(lab, board)
    try:
        return look_at_all([*bench.looks(), *OnBoard(bench).looks()], board=board, without=without)
    finally:
        try:
            bench.close()
        except HarnessError as error:
            emit("not given back", board=board, why=error.brief)


def _played(lab: Path, board: str) -> list[Look]:
    """Of a board that QEMU plays: what plays it, and its medium."""

    def accelerator() -> str:
        return f"executed by {lab_file.load(lab).accelerator(lab, board)}"

    def opened() -> str:
        with open_board(lab, board) as ours:
            return f"ours, off; {', '.join(sorted(ours.can))}"

    def flashed() -> str:
        status = next(each for each in by_hand.status(lab=lab) if each.board == board)
        return f"version {status.version}" if status.version else "nothing is flashed yet"

    return [
        Look(part="QEMU", at=accelerator),
        Look(part="board", at=opened, on=["QEMU"]),
        Look(part="medium", at=flashed, on=["board"]),
    ]
