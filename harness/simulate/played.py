"""A board of the virtual bench: what QEMU plays, behind a relay, a serial line, a mux, an address.

Whoever uses the bench meets these four only.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from harness.boards.lab import load_lab
from harness.boards.qemu.device import QemuDevice
from harness.boards.qemu.driver import HarnessQemuDriver
from harness.boards.share import Fed, Share
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.simulate.address import Address
from harness.simulate.played_card import PlayedCard
from harness.simulate.played_line import PlayedLine
from harness.simulate.rack_file import PlayedBoard, Rack

logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

# QEMU's filter that holds packets, here for more than an hour.
_NO_ANSWERS = "filter-buffer,id=no-answers,netdev=net0,queue=all,interval=4294967295"
HOST, DUT, OFF = "host", "dut", "off"


class Played:
    """The board at `place`, from `open` to `close`. One thread of its own does all that is asked of
    it, one after the other."""

    def __init__(self, rack: Rack, place: str, folder: Path) -> None:
        spec = rack.boards[place]
        self.place = place
        self._spec = spec
        self._device = _device(spec, place)
        self.line = PlayedLine(
            self._device.console,
            speed=spec.speed,
            address=(rack.exporter, rack.serial_port(place)),
        )
        self._address = Address(rack.address(place), lambda: self._device.ssh_port)
        self.card = PlayedCard(
            self._device.medium, folder, device=rack.storage(place), serial=spec.card_serial
        )
        self._powered = False
        self._mux = DUT
        self._stuck = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=place)

    def open(self) -> None:
        """Have it: off, its card in its slot. LabError when somebody else has it."""
        self._do(self._open)

    def _open(self) -> None:
        self._device.open()
        try:
            self.card.prepare(self._spec.card)
            self.line.open()
        except BaseException:
            self._device.close()
            raise

    def switch(self, on: bool) -> None:
        """The relay gives power or takes it."""
        self._do(lambda: self._switch(on=on))

    def _switch(self, *, on: bool) -> None:
        if on == self._powered:
            return
        self._powered = on
        if on and self._mux == DUT:
            self._device.on()
            self._address.up()
        elif not on:
            self._address.down()
            self._device.off()
            self.line.cut()

    def fed(self) -> Fed:
        """What its boots got since the bench began, and what keeps it from playing on."""
        return self._do(self._fed)

    def _fed(self) -> Fed:
        trouble = ""
        try:
            if self._device.is_on:
                self._device.medium.mark("asked")  # who serves it must answer
        except HarnessError as error:
            trouble = error.brief
        return Fed(boots=tuple(self._boots()), trouble=trouble)

    def _boots(self) -> Iterator[Share]:
        """What each got; of its medium only since that was written from outside."""
        served: dict[str, str] = {}
        with contextlib.suppress(HarnessError):  # it has been asked already
            served = {each.name: each.trouble for each in self._device.medium.served()}
        shares = self._device.shares
        for number, share in enumerate(shares, self._device.boots - len(shares) + 1):
            yield replace(share, medium=served.get(f"boot {number}", ""))

    def mux(self, command: str) -> str:
        """What `usbsdmux` asks: `get`, or where the card shall be. Returns where it is."""
        return self._do(lambda: self._set_mux(command))

    def _set_mux(self, command: str) -> str:
        wanted = {"client": DUT}.get(command, command)
        if wanted not in (HOST, DUT, OFF, "get"):
            raise LabError(f"no mode {command!r}")
        if wanted in ("get", self._mux):
            return self._mux
        self._mux = wanted
        if self._stuck:  # it answers, and its switch does not move
            return self._mux
        if wanted == DUT:
            self.card.to_board()
        else:
            self._pull()
        if wanted == HOST:
            self.card.to_host()
        elif wanted == OFF:
            self.card.to_board()
        return self._mux

    def _pull(self) -> None:
        """The card goes from under a running board: its requests fail from now on."""
        if self._device.is_on:
            logger.warning("%s: the card was taken while the board ran", self.place)
            self._address.down()
            self._device.off()

    def stick(self) -> None:
        """The mux says what it is told, and does nothing any more."""
        self._stuck = True

    def card_fault(self, *, read_only: bool = False, forgets: bool = False, limit: int = 0) -> None:
        """Something is wrong with the card, as the host sees it, from the next time on."""
        self.card.read_only, self.card.forgets, self.card.limit = read_only, forgets, limit

    def no_dhcp(self) -> None:
        """Whatever the network says to the board comes later than anybody waits; from the next
        boot on. Its cable is there."""
        self._device.more_arguments = ("-object", _NO_ANSWERS)

    def clock_1970(self) -> None:
        """Its clock begins there at each boot."""
        self._device.set_clock(datetime(1970, 1, 1, tzinfo=UTC))

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self._do(self._heal)

    def _heal(self) -> None:
        self._device.more_arguments = ()
        self._device.set_clock(None)
        self.card_fault()
        if self._stuck:
            self._stuck = False
            self._mux = HOST if self.card.at_host else DUT

    def close(self) -> None:
        """Power off, what is on the card in order. Idempotent."""
        self._do(self._close)
        self._worker.shutdown()

    def _close(self) -> None:
        self._address.close()
        try:
            self.card.to_board()
        except HarnessError as error:
            logger.warning("%s: %s", self.place, error.brief)
        finally:
            self._device.close()
            self.line.close()

    def _do(self, what: Callable[[], _Answer]) -> _Answer:
        return self._worker.submit(what).result()


def _device(spec: PlayedBoard, place: str) -> QemuDevice:
    """What plays it: a board of a lab file, under the place's own name."""
    environment = load_lab(spec.lab)
    targets = environment.config.get_targets()
    if spec.plays not in targets:
        raise ConfigurationError(
            f"simulate.boards.{place}.plays: {spec.lab} has no board {spec.plays!r}",
            hint=f"it has: {', '.join(sorted(targets))}",
        )
    targets[place] = targets[spec.plays]
    driver: HarnessQemuDriver = environment.get_target(place).get_driver(
        HarnessQemuDriver, activate=False
    )
    return driver.device
