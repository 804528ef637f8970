"""What a lab file says of the bench that is played behind it: its key `simulate`.

labgrid and the harness ignore that key: to them the file describes a rack like any other.

    simulate:
      network: 127.0.33           # of loopback: .1 coordinator, .2 PDU, .3 exporter, .11.. boards
      relay: {latency: 0.05, jitter: 0.01}
      boards:
        gateway-virtual-1:        # a place
          plays: gateway-qemu     # a board of `lab` that QEMU plays
          lab: qemu.yaml
          machine: legacy-gateway
          card: 1G
          card_serial: VCARD-0001
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from harness import files, schema
from harness.errors import ConfigurationError
from harness.fields import ExistingFile, FileName, MiB

_FOREIGN = ConfigDict(strict=True, extra="ignore")
_Network = Annotated[str, Field(pattern=r"^127\.\d{1,3}\.\d{1,3}$")]
_Seconds = Annotated[int | float, Field(ge=0, le=60)]

FIRST_LOOP = 110  # /dev/loop111 is the first board's card: far from those that losetup takes
_FIRST_SERIAL = 2010
_FIRST_BOARD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySpec:
    """How a relay of the PDU behaves: seconds from request to contact, and how much they differ."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    latency: _Seconds = 0.05
    jitter: _Seconds = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedBoard:
    """A board of the virtual bench, and what plays it."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    plays: str
    machine: str
    lab: ExistingFile
    card: MiB = 1 << 30
    card_serial: FileName
    speed: Annotated[int, Field(ge=300, le=4_000_000)] = 115200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rack:
    """The bench that is played."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    network: _Network
    boards: dict[str, PlayedBoard]
    relay: RelaySpec = field(default_factory=RelaySpec)
    first_loop: Annotated[int, Field(ge=16, le=4096)] = FIRST_LOOP

    @property
    def coordinator(self) -> str:
        """Where labgrid's coordinator listens."""
        return f"{self.network}.1:20408"

    @property
    def pdu(self) -> str:
        """Address of the PDU; HTTP."""
        return f"{self.network}.2"

    @property
    def exporter(self) -> str:
        """Address of the exporter host: SSH, and a TCP port for each serial line."""
        return f"{self.network}.3"

    def number(self, place: str) -> int:
        """A board's number in the rack, from 1: its outlet, its serial port, its address."""
        return list(self.boards).index(place) + 1

    def serial_port(self, place: str) -> int:
        """TCP port of a board's serial line."""
        return _FIRST_SERIAL + self.number(place)

    def address(self, place: str) -> str:
        """A board's own address."""
        return f"{self.network}.{_FIRST_BOARD + self.number(place)}"

    def storage(self, place: str) -> str:
        """The block device that a board's card is while the mux gives it to the host."""
        return f"/dev/loop{self.first_loop + self.number(place)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RackFile:
    __pydantic_config__: ClassVar[ConfigDict] = _FOREIGN
    simulate: Rack | None = None


def load(lab: Path) -> Rack:
    """What is played for a lab file. Raises ConfigurationError."""
    text = files.text(lab, limit=schema.YAML_LIMIT, hint="labs/virtual-rack.yaml is one")
    found = schema.from_yaml(_RackFile, text, what=lab, tags=True, context=lab.parent).simulate
    if found is None or not found.boards:
        raise ConfigurationError(
            f"{files.shown(lab)}: simulate: nothing to play",
            hint="only a lab file with the key `simulate` can be played: labs/virtual-rack.yaml",
        )
    return found
