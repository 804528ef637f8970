"""A bench that labgrid's stock drivers drive: what can be seen of it before its board is on.

Looks are in the order of what they cost: lab file, coordinator, place, relay, serial port, then the
board is off, then SD mux and card. `board.py` goes on from there.
"""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.boards import lab_file
from harness.boards.console import Console
from harness.boards.doctor.card import look_at_card, look_at_mux
from harness.boards.doctor.finding import Look
from harness.boards.hardware import target
from harness.boards.hardware.card import Card
from harness.boards.hardware.player import Player
from harness.boards.hardware.serial_line import SerialLine, SerialTap
from harness.boards.hardware.within import within
from harness.boards.lab import load_lab
from harness.boards.lab_file import BoardOptions
from harness.errors import ConfigurationError, LabError

_PATIENCE = 10.0  # seconds for a relay, where the lab file says nothing
_CONNECT = 3.0  # seconds for a server of the lab
_RELAY = (
    "the PDU hangs, or is another one: look at its own page; options.relay_timeout waits longer"
)
_COORDINATOR = "127.0.0.1:20408"  # labgrid's own default


class ExaminedBench:
    """The parts of one board's bench, found one after the other, given back by `close`."""

    def __init__(self, lab: Path, board: str) -> None:
        self.board = board
        self.options: BoardOptions = {}
        self.target: Any = None
        self.parts: Any = None
        self._lab = lab
        self._environment: Any = None
        self._line: SerialLine | None = None
        self._console: Console | None = None
        self._stack = contextlib.ExitStack()

    def looks(self) -> Sequence[Look]:
        """In their order."""
        return [
            Look(part="lab file", at=self._look_at_lab_file),
            Look(part="coordinator", at=self._look_at_coordinator, on=["lab file"]),
            Look(part="place", at=self._look_at_place, on=["coordinator"]),
            Look(part="relay", at=self._look_at_relay, on=["place"]),
            Look(part="share", at=self._look_at_share, on=["relay"]),
            Look(part="serial port", at=self._look_at_serial_port, on=["place"]),
            Look(part="off", at=self._switch_off, on=["relay"]),
            Look(part="SD mux", at=self._look_at_mux, on=["off"]),
            Look(part="card", at=self._look_at_card, on=["SD mux"]),
        ]

    def close(self) -> None:
        """Off, and given back."""
        try:
            if self.parts:
                self.switch("off")
        finally:
            self._stack.close()

    @property
    def patience(self) -> float:
        """Seconds for a relay."""
        return self.options.get("relay_timeout", _PATIENCE)

    @property
    def line(self) -> SerialLine:
        """The serial line."""
        if self._line is None:
            raise LabError(f"{self.board}: its serial line is not open")
        return self._line

    @property
    def console(self) -> Console:
        """What has come over it."""
        if self._console is None:
            raise LabError(f"{self.board}: its serial line is not open")
        return self._console

    def heard(self) -> bytes:
        """What the running boot has said."""
        logs = self.console.logs
        return logs[-1].read_bytes() if logs else b""

    def switch(self, action: str) -> None:
        """Switch the relay `on` or `off`."""
        call = getattr(self.parts.power, action)
        within(self.patience, f"relay of {self.board}: {action}", call, hint=_RELAY)

    def _look_at_lab_file(self) -> str:
        found = lab_file.load(self._lab).target(self._lab, self.board)
        self.options = found.options or {}
        for key in ("machine", "boot_banner"):
            if key not in self.options:
                raise ConfigurationError(
                    f"targets.{self.board}.options.{key} is missing",
                    hint="docs/desk.md goes through a lab file key by key",
                )
        self._environment = load_lab(self._lab)
        kind = "virtual" if self.options.get("virtual") else "real"
        return f"{files.shown(self._lab)}: a {self.options['machine']}, {kind}"

    def _look_at_coordinator(self) -> str:
        described = self._environment.config.get_targets()[self.board].get("resources") or {}
        names = described if isinstance(described, dict) else [key for e in described for key in e]
        if target.PLACE not in names:
            return "none: the bench is plugged in here"
        default = os.environ.get("LG_COORDINATOR", _COORDINATOR)
        address = str(self._environment.config.get_option("coordinator_address", default))
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT).close()
        except (OSError, ValueError) as error:
            raise LabError(
                f"nobody answers at {address}: {error}",
                hint="start labgrid-coordinator there, or correct coordinator_address",
            ) from error
        return f"{address} answers"

    def _look_at_place(self) -> str:
        options = BoardOptions(**{**self.options, "wait": 0})
        bound = target.bound(self._environment, self.board, lab=self._lab, options=options)
        try:
            self.target, check = self._stack.enter_context(bound)
            check()
            self.parts = target.parts_of(self.target, self.board)
        except (ConfigurationError, LabError) as error:
            raise type(error)(
                error.brief,
                details=error.details,
                hint=f"{error.hint + '; ' if error.hint else ''}of a place that somebody has: "
                "labgrid-client -p PLACE release-from HOST/USER when he will not come back; "
                "of one without resources: start its exporter",
            ) from error
        return "ours, with all of its resources"

    def _look_at_relay(self) -> str:
        get = getattr(self.parts.power, "get", None)
        if get is None:
            return f"{self.parts.relay} cannot say how it stands"
        began = time.monotonic()
        says = within(self.patience, self.parts.relay, get, hint=_RELAY)
        took = (time.monotonic() - began) * 1000
        return f"{self.parts.relay} is {'on' if says else 'off'}; it answers in {took:.0f} ms"

    def _look_at_share(self) -> str:
        if not self.options.get("virtual"):
            return "nobody plays it: the power is its own"
        player = Player(self.board, self.options)
        player.begin()
        return f"its host tells what it gave it: {player.share(boots=0)}"

    def _look_at_serial_port(self) -> str:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._console = Console(Path(folder))
        self._console.reopen()
        serial = self.parts.serial
        tap = SerialTap(serial.serial, self._console)
        serial.serial = tap
        banner = self.options["boot_banner"]
        line = tap.line = SerialLine(self.board, tap.real, self._console, banner=banner)
        target.activate(self.target, serial)
        self._stack.callback(self.target.deactivate, serial)
        self._line = line
        return f"{self.parts.port} is open"

    def _switch_off(self) -> str:
        self.switch("off")
        get = getattr(self.parts.power, "get", None)
        if get and within(self.patience, self.parts.relay, get, hint=_RELAY):
            raise LabError(
                f"{self.parts.relay} was switched off, and says that it is on",
                hint="does somebody else switch it? is it locked on its own page?",
            )
        return "the relay says so"

    def _look_at_mux(self) -> str:
        card = self._card()
        if card is None:
            return "none: the card can only be written by hand"
        return look_at_mux(card, self.parts.storage)

    def _look_at_card(self) -> str:
        card = self._card()
        if card is None:
            return "in the board"
        serial = self.options.get("card_serial", "")
        return look_at_card(card, self.parts.storage, serial=serial)

    def _card(self) -> Card | None:
        if self.parts.mux is None:
            return None
        serial = self.options.get("card_serial", "")
        mux, storage = self.parts.mux, self.parts.storage
        return Card(self.board, mux, storage, serial=serial, is_off=lambda: True)
