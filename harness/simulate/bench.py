"""The virtual bench as a whole: boards, PDU, exporter host and coordinator, up and down together.

All that it keeps is in a folder of its own, so that it has nothing in common with a harness that
uses it, not even where both run on one machine.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import files, paths
from harness.boards.lock import BoardLock
from harness.errors import LabError
from harness.simulate import rack_file
from harness.simulate.exporter import ExporterHost
from harness.simulate.pdu import Pdu, Relay
from harness.simulate.played import Played


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
        self.folder = files.make_folder(paths.cache() / "virtual" / self.rack.network)
        self._lock = BoardLock(self.folder, f"virtual bench {self.rack.network}")
        self._stack = ExitStack()
        self.boards: dict[str, Played] = {}
        self.pdu = Pdu(self.rack.pdu, {})

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
        # The boards that it plays look there for their run folders, as all QEMU boards do.
        os.environ["HARNESS_CACHE"] = str(self.folder)
        for place in self.rack.boards:
            board = Played(self.rack, place, files.make_folder(self.folder / place))
            self._stack.callback(board.close)
            board.open()
            self.boards[place] = board
        self._plug_in()
        self._stack.callback(self.pdu.close)
        self.pdu.open()
        muxes = {place: board.mux for place, board in self.boards.items()}
        host = ExporterHost(self.rack, self.folder, muxes)
        self._stack.callback(host.close)
        host.open()

    def _plug_in(self) -> None:
        for place, board in self.boards.items():
            relay = Relay(switch=board.switch, spec=self.rack.relay)
            self.pdu.relays[str(self.rack.number(place))] = relay
