"""`harness watch BOARD`: what one board is and does, live."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from harness.commands.terminal import BoardName, Lab, Store, show
from harness.errors import HarnessError
from harness.plain import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.boards.onlooker import Onlooker

_LINES = 12  # of the console
_REFRESH = 0.5  # seconds
_ASK = 5.0  # seconds between two questions to the device


def watch(
    board: BoardName,
    *,
    lab: Lab,
    store: Store = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
) -> None:
    """Watch a board: power, slot, version, attempts left, console, last verdicts; Ctrl-C ends.

    [dim]harness watch gateway-qemu[/]
    """
    from rich.live import Live

    from harness.boards.onlooker import Onlooker

    onlooker = Onlooker(name=board, lab=lab)
    onlooker.status()  # a name that the lab has not is told before anything is shown
    asked = Asked(onlooker)
    verdicts = _verdicts(board, store)
    threading.Thread(target=asked.ask, kwargs={"once": once}, daemon=True).start()
    if once:
        asked.first.wait(_ASK)
        show(_shown(onlooker, asked, verdicts))
        return
    with Live(refresh_per_second=2, screen=False) as live:
        while True:
            live.update(_shown(onlooker, asked, verdicts))
            time.sleep(_REFRESH)


class Asked:
    """What the device said last, asked in a thread of its own: it may take its time."""

    def __init__(self, onlooker: "Onlooker") -> None:
        self.told: dict[str, str] = {"device": "not asked yet"}
        self.first = threading.Event()
        self._onlooker = onlooker

    def ask(self, *, once: bool) -> None:
        """Ask now and then; for ever, or once."""
        while True:
            try:
                self.told = self._answers()
            except HarnessError as error:
                self.told = {"device": f"does not answer: {error.brief}"}
            self.first.set()
            if once:
                return
            time.sleep(_ASK)

    def _answers(self) -> dict[str, str]:
        from harness.boards.board import Board
        from harness.clients.registry import client_of
        from harness.product.release import load

        folder = self._onlooker.flashed()
        if folder is None:
            return {"device": "the release that it was flashed with is not there any more"}
        # Of a board a client that only asks needs its name and `run`.
        client = client_of(load(folder).product, cast(Board, self._onlooker))
        status = client.status(timeout=_ASK)
        chosen = status.boot_selection
        told = {"version": status.version, "slot": str(status.slot), "health": status.health}
        if chosen is not None:
            slots = [
                f"{slot}: {each.state}, {each.left} left" for slot, each in chosen.slots.items()
            ]
            told |= {"primary": str(chosen.primary), "slots": "; ".join(slots)}
        return told


def _shown(onlooker: "Onlooker", asked: Asked, verdicts: list[str]) -> "RenderableType":
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    status = onlooker.status()
    table = Table.grid(padding=(0, 2))
    rows: dict[str, Any] = {"power": status.power, "boot": status.boots, "place": status.place}
    rows |= {"held by": f"process {status.holder}" if status.holder else "", **asked.told}
    rows |= {"flashed": status.version, "verdicts": "\n".join(verdicts)}
    for name, value in rows.items():
        if value not in (None, ""):
            table.add_row(name, Text(plain(str(value))))
    tail = Text(plain("\n".join(Text.from_ansi(line).plain for line in onlooker.tail(_LINES))))
    title = f"{status.board} ({status.machine})"
    return Group(Panel(table, title=title), Panel(tail, title="console"))


def _verdicts(board: str, store: Path | None) -> list[str]:
    """The newest ones of a board, by scenario."""
    from harness.evidence import signing
    from harness.evidence.store import EvidenceStore

    newest = EvidenceStore(store).newest([signing.load_signer().public_key])
    if board not in newest:
        return []
    subject, record = newest[board]
    return [f"{record.scenario} of {subject}: {record.verdict or 'none'}"]
