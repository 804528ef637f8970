"""The virtual bench as a whole: boards, PDU, exporter host and coordinator, up and down together.

All that it keeps is in a folder of its own, so that it has nothing in common with a harness that
uses it, not even where both run on one machine.
"""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import files, paths
from harness.boards.lock import BoardLock
from harness.boards.pulse import Pulse
from harness.boards.share import Fed
from harness.errors import ConfigurationError, LabError
from harness.simulate import commands, faults, rack_file
from harness.simulate.commands import Commands
from harness.simulate.exporter import ExporterHost
from harness.simulate.faults import BenchFault, PartOfBench
from harness.simulate.pdu import Pdu, PlayedRelay
from harness.simulate.played import Played
from harness.simulate.rack_file import Rack

_CONTROL = "control"  # the bench's own, in its folder: not of any board


def folder_of(rack: Rack) -> Path:
    """All that the bench of a rack keeps."""
    return paths.cache() / "virtual" / rack.network


def plant(lab: Path, fault: BenchFault, places: Sequence[str] = ()) -> None:
    """Plant a fault in the bench that runs for a lab file, at some places or all."""
    _tell(lab, f"plant {fault}", places)


def heal(lab: Path, places: Sequence[str] = ()) -> None:
    """Nothing is wrong any more with the bench that runs for a lab file."""
    _tell(lab, "heal", places)


def _tell(lab: Path, what: str, places: Sequence[str]) -> None:
    rack = rack_file.load(lab)
    if wrong := [place for place in places if place not in rack.boards]:
        raise ConfigurationError(
            f"{files.shown(lab)}: no board {wrong[0]!r} is played",
            hint=f"it has: {', '.join(rack.boards)}",
        )
    for place in places or rack.boards:
        commands.tell(folder_of(rack) / _CONTROL, f"{what} {place}")


class VirtualBench:
    """What is behind a lab file with the key `simulate`, for the length of a `with` block.

    ConfigurationError for a file that says nothing of the kind; LabError where it cannot be played.
    """

    def __init__(self, lab: Path) -> None:
        if os.geteuid() != 0:
            raise LabError(
                "the virtual bench must run as root",
                hint="it shows cards as loop devices, and listens on ports of its own addresses",
            )
        self.rack = rack_file.load(lab)
        self.folder = files.make_folder(folder_of(self.rack))
        self._lock = BoardLock(self.folder, f"virtual bench {self.rack.network}")
        self._stack = ExitStack()
        # One that lasts: a server ends with the thread that has started it.
        self._gardener = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gardener")
        self.boards: dict[str, Played] = {}
        self.pdu = Pdu(self.rack.pdu, {})
        self._pulse = Pulse()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._lock.acquire()
        self._stack.callback(self._lock.release)
        self._stack.callback(self._gardener.shutdown)
        self._stack.callback(self._pulse.close)
        self._pulse.open()
        # The boards that it plays look there for their run folders, as all QEMU boards do.
        os.environ["HARNESS_CACHE"] = str(self.folder)
        for place in self.rack.boards:
            board = Played(self.rack, place, files.make_folder(self.folder / place))
            self._stack.callback(board.close)
            board.open()
            self.boards[place] = board
            self.pdu.boards[place] = functools.partial(self._fed, board)
        self._plug_in()
        self._stack.callback(self.pdu.close)
        self.pdu.open()
        muxes = {place: board.mux for place, board in self.boards.items()}
        host = ExporterHost(self.rack, self.folder, muxes)
        self._stack.callback(host.close)
        host.open()
        control = Commands(self.folder / _CONTROL, self._told)
        self._stack.callback(control.close)
        control.open()
        self._host = host

    def _fed(self, board: Played) -> Fed:
        return replace(board.fed(), short=round(self._pulse.short, 1))

    def _told(self, command: str) -> str:
        """`plant FAULT PLACE`, or `heal PLACE`."""
        words = command.split()
        place = words[-1] if words else ""
        if place not in self.boards or len(words) != {"plant": 3, "heal": 2}.get(words[0]):
            raise LabError(f"what does {command!r} mean?")
        relay = self.pdu.relays[str(self.rack.number(place))]
        where = PartOfBench(board=self.boards[place], relay=relay, pdu=self.pdu, host=self._host)
        if words[0] == "plant":
            self._gardener.submit(faults.plant, words[1], where).result()
        else:
            self._gardener.submit(faults.heal, where).result()
        return command

    def _plug_in(self) -> None:
        for place, board in self.boards.items():
            relay = PlayedRelay(switch=board.switch, spec=self.rack.relay)
            self.pdu.relays[str(self.rack.number(place))] = relay
