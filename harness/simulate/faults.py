"""What can be wrong with a bench: planted in the virtual one, and healed, while it runs.

None of it is the product's doing: `harness doctor` names each, and a scenario that meets one ends
as trouble of the lab, never with a verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from harness.simulate.exporter import ExporterHost
from harness.simulate.pdu import Pdu, PlayedRelay
from harness.simulate.played import Played
from harness.simulate.played_line import other_speed, shared

_LATE = 3.0  # seconds from the answer of a late relay to its contact


class BenchFault(StrEnum):
    """Their names, as `harness lab plant` takes them."""

    WRONG_BAUD = "wrong-baud"  # the adapter is set to another speed than the board
    SECOND_READER = "second-reader"  # a stray program reads the same port: each has half
    ADAPTER_GONE = "adapter-gone"  # the serial adapter vanishes
    WELDED_RELAY = "welded-relay"  # the relay says off, and the contact stays closed
    LATE_RELAY = "late-relay"  # the contact moves seconds after the answer
    HUNG_PDU = "hung-pdu"  # the PDU takes connections and answers none
    STUCK_MUX = "stuck-mux"  # the mux says that it has switched, and has not
    CARD_READ_ONLY = "card-read-only"  # the card is locked, or has given up
    CARD_FORGETS = "card-forgets"  # it takes writes and keeps none
    CARD_SMALL = "card-small"  # another card than the one that should be there
    NO_DHCP = "no-dhcp"  # nobody gives the board an address
    CLOCK_1970 = "clock-1970"  # its clock has lost its battery
    STALE_ACQUISITION = "stale-acquisition"  # somebody has the place, who will not come back
    EXPORTER_GONE = "exporter-gone"
    COORDINATOR_GONE = "coordinator-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfBench:
    """A board of the bench, and what it is plugged into."""

    board: Played
    relay: PlayedRelay
    pdu: Pdu
    host: ExporterHost


def plant(fault: str, where: PartOfBench) -> None:
    """Plant a fault."""
    _PLANT[BenchFault(fault)](where)


def heal(where: PartOfBench) -> None:
    """A bench without a fault again."""
    board, relay, host = where.board, where.relay, where.host
    board.line.outward = board.line.inward = bytes
    board.line.plug()
    relay.late, relay.welded = 0.0, False
    where.pdu.hung.clear()
    board.heal()
    host.start_coordinator()
    host.start_exporter()
    host.give_back(board.place)
    board.switch(relay.closed)


def _wrong_baud(where: PartOfBench) -> None:
    where.board.line.outward = other_speed()
    where.board.line.inward = other_speed()


def _second_reader(where: PartOfBench) -> None:
    where.board.line.outward = shared()


def _welded(where: PartOfBench) -> None:
    where.relay.welded = True


def _late(where: PartOfBench) -> None:
    where.relay.late = _LATE


_PLANT: dict[BenchFault, Callable[[PartOfBench], None]] = {
    BenchFault.WRONG_BAUD: _wrong_baud,
    BenchFault.SECOND_READER: _second_reader,
    BenchFault.ADAPTER_GONE: lambda where: where.board.line.unplug(),
    BenchFault.WELDED_RELAY: _welded,
    BenchFault.LATE_RELAY: _late,
    BenchFault.HUNG_PDU: lambda where: where.pdu.hung.set(),
    BenchFault.STUCK_MUX: lambda where: where.board.stick(),
    BenchFault.CARD_READ_ONLY: lambda where: where.board.card_fault(read_only=True),
    BenchFault.CARD_FORGETS: lambda where: where.board.card_fault(forgets=True),
    BenchFault.CARD_SMALL: lambda where: where.board.card_fault(limit=1 << 20),
    BenchFault.NO_DHCP: lambda where: where.board.no_dhcp(),
    BenchFault.CLOCK_1970: lambda where: where.board.clock_1970(),
    BenchFault.STALE_ACQUISITION: lambda where: where.host.take(where.board.place),
    BenchFault.EXPORTER_GONE: lambda where: where.host.stop_exporter(),
    BenchFault.COORDINATOR_GONE: lambda where: where.host.stop_coordinator(),
}
