"""The lab file as we read it, before labgrid does: which boards there are, and their options.

labgrid reads the same file later and makes drivers of it, in its own, forgiving way. What is wrong
with keys that both of us need is told here, once, with the file and the key.
"""

import json
import re
import shlex
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from harness import files, paths, schema
from harness.boards.capability import Capability
from harness.boards.qemu.accelerator import Accelerator, choose
from harness.errors import ConfigurationError

_HINT = "labs/qemu.yaml needs no hardware"
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a place: it becomes a folder and an argument
_FOREIGN = ConfigDict(strict=True, extra="ignore")  # labgrid has more keys
_Address = Annotated[str, AfterValidator(lambda text: str(IPv4Address(text)))]
_Parts = dict[str, Any] | list[Any] | None
QEMU = "HarnessQemuDriver"  # of boards that QEMU plays
MUX = "USBSDMuxDriver"  # of boards whose card can be had while they are off
_BEHIND_A_MUX = (Capability.MEDIUM_READ, Capability.MEDIUM_WRITE)


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return text


def _url(text: str) -> str:
    where = urlsplit(text)
    if where.scheme != "http" or not where.hostname or where.port == 0:
        raise ValueError("is no http://HOST[:PORT]/PATH")
    return text


class Kind(StrEnum):
    """What a board is: evidence says so, and a policy can ask for it."""

    QEMU = "qemu"  # QEMU plays it, and the harness has all of that in its hands
    VIRTUAL = "virtual"  # something plays it behind what a real bench shows
    REAL = "real"


class Part(StrEnum):
    """Parts of a machine that a board of it may lack."""

    CLOCK = "clock"  # a real-time clock
    WATCHDOG = "watchdog"  # more than its reset


class BoardOptions(TypedDict, total=False):
    """`options` of a target: what the harness knows of a board (docs/add-a-board.md)."""

    __pydantic_config__ = schema.STRICT  # type: ignore[misc]
    machine: str
    slow: bool
    ssh_user: str
    ssh_key: str
    ssh_prepare: str
    ssh_patience: Annotated[int | float, Field(ge=0, le=3600)]  # seconds
    network_reset: str
    listen: _Address  # of this host, where servers for the board listen
    host_address: _Address  # under which the board reaches them
    lacks: list[Part]  # that the board has not
    # Of a board that QEMU does not play:
    virtual: bool  # it is no hardware, whatever it looks like
    share: Annotated[str, AfterValidator(_url)]  # where its host says what it gave it; of one only
    boot_banner: Annotated[str, AfterValidator(_regex)]  # what each boot prints once
    board_serial: str
    card_serial: str  # as the host of its reader names the card: no other is ever flashed
    console_device: str  # by which the device writes to its serial console; empty: by none
    relay_timeout: Annotated[int | float, Field(gt=0, le=600)]  # seconds
    quiet: Annotated[int | float, Field(ge=0.2, le=60)]  # seconds without a byte that are silence
    reserve: dict[str, str]  # tags of a place that will do
    wait: Annotated[int | float, Field(ge=0)]  # seconds for a place that others have


def ssh_key(options: BoardOptions) -> Path:
    """The private key by which the harness logs in to a board."""
    return Path(options.get("ssh_key") or paths.ssh_key()).expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A board of a lab."""

    __pydantic_config__: ClassVar[ConfigDict] = _FOREIGN
    options: BoardOptions | None = None
    resources: _Parts = None
    drivers: _Parts = None

    @property
    def lacking(self) -> frozenset[Capability | Part]:
        """What a scenario may need (`pytest.mark.needs`) and the board has not."""
        return frozenset(Capability) - self._capabilities | frozenset(
            (self.options or {}).get("lacks", ())
        )

    @property
    def _capabilities(self) -> frozenset[Capability]:
        """What it will have (`Board.can`) when it is opened."""
        drivers = self.drivers if isinstance(self.drivers, dict) else {}
        if QEMU not in drivers:
            return frozenset(_BEHIND_A_MUX if MUX in drivers else ())
        nic = (drivers[QEMU] or {}).get("nic")
        return frozenset(Capability) - (frozenset() if nic else {Capability.LINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabFile:
    """What a lab file holds that we need."""

    __pydantic_config__: ClassVar[ConfigDict] = _FOREIGN
    targets: dict[str, Annotated[Target, BeforeValidator(lambda found: found or {})]]
    imports: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)

    def target(self, lab: Path, board: str) -> Target:
        """A board; ConfigurationError for one that the lab does not have."""
        if board not in self.targets:
            raise ConfigurationError(
                f"{files.shown(lab)} has no board {board!r}",
                hint=f"it has: {', '.join(sorted(self.targets))}",
            )
        return self.targets[board]

    def accelerator(self, lab: Path, board: str) -> str:
        """What executes a board's instructions: tcg or kvm; empty for one that QEMU does not play.
        ConfigurationError for what is none, LabError for a KVM that does not run here."""
        drivers = self.target(lab, board.partition("@")[0]).drivers
        if not isinstance(drivers, dict) or QEMU not in drivers:
            return ""
        told = drivers[QEMU] or {}
        asked, program = str(told.get("accel", Accelerator.TCG)), str(told.get("qemu_bin", ""))
        if asked not in list(Accelerator):
            key = f"targets.{board}.drivers.{QEMU}.accel"
            known = ", ".join(Accelerator)
            raise ConfigurationError(f"{files.shown(lab)}: {key}: {asked!r} is none of {known}")
        words = shlex.split(str(told.get("extra_args", "")))
        return choose(Accelerator(asked), self.tools.get(program, program), words)

    def kind(self, board: str) -> "Kind":
        """What plays a board, or that it is one."""
        target = self.targets[board.partition("@")[0]]
        if isinstance(target.drivers, dict) and QEMU in target.drivers:
            return Kind.QEMU
        return Kind.VIRTUAL if (target.options or {}).get("virtual") else Kind.REAL

    @property
    def options(self) -> dict[str, BoardOptions]:
        """The options of each board."""
        return {name: target.options or {} for name, target in self.targets.items()}


def load(lab: Path) -> LabFile:
    """Read a lab file. Raises ConfigurationError."""
    text = files.text(lab, limit=schema.YAML_LIMIT, hint=_HINT)
    found = schema.from_yaml(LabFile, text, what=lab, tags=True)
    played = {name for name in found.targets if found.kind(name) is Kind.VIRTUAL}
    if real := [
        name for name, told in found.options.items() if "share" in told and name not in played
    ]:
        told = [
            f"targets.{name}.options.share: is of a board with `virtual: true`" for name in real
        ]
        raise ConfigurationError.of(files.shown(lab), told)
    if wrong := [name for name in found.targets if not _NAME.fullmatch(name)]:
        raise ConfigurationError.of(
            files.shown(lab), [f"targets: {name[:99]!r} is no name of a board" for name in wrong]
        )
    return found


def described(lab: Path, board: str) -> str:
    """All that a lab file says of a kind of board, as JSON: what QEMU makes of it is that, too.
    Empty for a board that the file has not got."""
    found = load(lab).targets.get(board.partition("@")[0])
    return json.dumps(asdict(found), sort_keys=True, default=str) if found else ""


def require_name(board: str) -> None:
    """ConfigurationError unless it can be a board's name, or that of more like it: `name@7`, and of
    that one `name@7@1`."""
    if not all(_NAME.fullmatch(part) for part in board.split("@")):
        raise ConfigurationError(f"{board!r} is no name of a board")
