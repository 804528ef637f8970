"""The card of a board: switched between the board and the host of its reader, flashed, read.

A mux gives the card to one of the two. While the board has it nobody else may touch it, and while
the host has it the board must be off: both are looked at before each use, and never assumed. What
is flashed is only ever the device that the lab file names by its serial number.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.boards.hardware.block_map import BlockMap
from harness.boards.hardware.card_link import CardLink
from harness.boards.hardware.within import within
from harness.deadline import Deadline, reached_within
from harness.errors import LabError
from harness.log import emit, progress, step

HOST, BOARD = "host", "dut"  # labgrid's modes of a mux
_PIECE = 1 << 20
_SWITCH = 20.0  # seconds for the mux, and for the card to come or go
_REQUEST = 120.0  # seconds for one request to the card
_SLOWEST = 1 << 20  # bytes a second of a card that still works
_LOOK = 0.2  # seconds between two looks
_STEADY = 3  # looks at which a card must say the same


class Mux(Protocol):
    """labgrid's USBSDMuxDriver."""

    def set_mode(self, mode: str) -> None:
        """Give the card to `host` or `dut`."""

    def get_mode(self) -> str:
        """Who has it."""


class Storage(Protocol):
    """A resource of labgrid's that is a block device on some host."""

    path: str

    def wrap_command(self, command: Sequence[str]) -> list[str]:
        """A command that runs on that host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLook:
    """What the host of the reader says of a card."""

    size: int
    read_only: bool
    serial: str
    kind: str  # usb, mmc, loop, or disk: one that is part of its host
    users: tuple[str, ...]


class Card:
    """A board's medium behind a mux (`MediumRead`, `MediumWrite`). `is_off` says whether the board
    has no power; `serial` names the only device that may be written; `require` raises for what must
    not be used."""

    live = False

    def __init__(
        self,
        board: str,
        mux: Mux,
        storage: Storage,
        *,
        serial: str,
        is_off: Callable[[], bool],
        require: Callable[[CardLook], None] = lambda _: None,
    ) -> None:
        self._require = require
        self._board = board
        self._mux = mux
        self._storage = storage
        self._serial = serial
        self._is_off = is_off
        self._pause = threading.Event()

    def give(self, to: str) -> None:
        """Switch the mux and see that it has switched. LabError when it has not."""
        if not self._is_off():
            raise LabError(f"{self._board} is on: its card stays where it is")
        within(_SWITCH, f"SD mux of {self._board}", lambda: self._mux.set_mode(to))
        if (now := self.where()) != to:
            raise LabError(
                f"SD mux of {self._board}: was switched to {to!r}, and says {now!r}",
                hint="is it stuck, or does somebody else switch it?",
            )

    def where(self) -> str:
        """Who has the card: `host`, `dut` or `off`."""
        return within(_SWITCH, f"SD mux of {self._board}", self._mux.get_mode).strip().lower()

    def seen(self) -> bool:
        """Whether its host sees the card now, whatever the mux says."""
        with self._link() as link:
            return bool(_look(link).size)

    def require_gone(self) -> None:
        """LabError when the mux says that the board has the card, and its host still sees it."""
        if not reached_within(_SWITCH, lambda: not self.seen(), poll=_LOOK):
            raise LabError(
                f"SD mux of {self._board}: says {BOARD!r}, and the card is still at "
                f"{self._storage.path}",
                hint="the mux is stuck, or its cable leads to another card (harness doctor)",
            )

    def flash(self, image: Path) -> None:
        """Write a disk image and read it back; the card is then the host's. LabError for a card
        that must not or cannot be written."""
        wanted = BlockMap.of(image)
        self.give(HOST)
        with self._open(write=True, least=wanted.size) as link, image.open("rb") as source:
            self._write(link, source, wanted)
            zeroed = link.ask("zero", timeout=_time(wanted.size), ranges=wanted.holes)
            link.ask("flush", timeout=_time(wanted.size))
            with step("read back", board=self._board):
                found = link.ask("sha256", timeout=_time(wanted.bytes), ranges=wanted.mapped)
                again = link.ask("zero", timeout=_time(wanted.size), ranges=wanted.holes)
        if found["sha256"] != _digest(image, wanted) or again["written"]:
            raise LabError(
                f"the card of {self._board} does not hold what was written to it",
                hint=f"replace card {self._serial}: it is worn, full, or not as large as it says",
            )
        emit("flashed", board=self._board, bytes=wanted.bytes, zeroed=zeroed["written"])

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the card of a board that is off."""
        with self._reading() as link:
            return link.read(offset, length, timeout=_time(length))

    def sha256(self, offset: int, length: int) -> str:
        """The digest of a part of it, made where the reader is."""
        with self._reading() as link:
            found = link.ask("sha256", timeout=_time(length), ranges=[(offset, length)])
            return str(found["sha256"])

    def overwrite(self, offset: int, content: bytes) -> None:
        """That part reads so from now on."""
        self.give(HOST)
        with self._open(write=True, least=offset + len(content)) as link:
            link.ask("write", timeout=_REQUEST, offset=offset, data=content)
            link.ask("flush", timeout=_REQUEST)

    def harm(self, offset: int, length: int) -> None:
        """No card can be told to."""
        raise LabError(f"{self._board}: no part of a card can be made unreadable")

    def look(self) -> CardLook:
        """What the host says of the card, which it must have."""
        with self._link() as link:
            return self._settled(link)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[CardLink]:
        if self.where() != HOST:
            self.give(HOST)
        elif not self._is_off():
            raise LabError(f"{self._board} is on: its card cannot be read")
        with self._open(write=False, least=1) as link:
            link.ask("flush", timeout=_REQUEST)  # what the host remembers may be older
            yield link

    @contextlib.contextmanager
    def _open(self, *, write: bool, least: int) -> Iterator[CardLink]:
        with self._link() as link:
            look = self._settled(link)
            self._require(look)
            if refused := self._refusals(look, write=write, least=least):
                raise LabError(
                    f"{self._storage.path} is not used for {self._board}: {'; '.join(refused)}",
                    hint="options.card_serial of the lab file names the card (harness doctor)",
                )
            if (now := self.where()) != HOST:
                raise LabError(f"the card of {self._board} is not at the host, but at {now!r}")
            link.ask("open", timeout=_REQUEST, write=write)
            yield link

    def _link(self) -> CardLink:
        return CardLink(self._storage.wrap_command, self._storage.path)

    def _settled(self, link: CardLink) -> CardLook:
        """The card when it has come, and says the same a few times running."""
        deadline, before, same = Deadline(_SWITCH), CardLook(**_NOTHING), 0
        while same < _STEADY:
            if deadline.over:
                told = f"{before.size} bytes" if before.size else "no card"
                raise LabError(
                    f"{self._storage.path} does not settle within {_SWITCH:g} s: {told}",
                    hint="is the card in the mux, and the mux at this host?",
                )
            now = _look(link)
            same = same + 1 if now == before and now.size else 0
            before = now
            self._pause.wait(_LOOK)
        return before

    def _refusals(self, look: CardLook, *, write: bool, least: int) -> list[str]:
        found = list(look.users)
        if look.kind == "disk":
            found.append("it is a disk of its host")
        if not self._serial:
            found.append("the lab file names no card")
        elif look.serial != self._serial:
            found.append(f"its serial is {look.serial or 'unknown'}, not {self._serial}")
        if write and look.read_only:
            found.append("it is read-only")
        if look.size < least:
            found.append(f"it has {look.size} bytes, {least} are needed")
        return found

    def _write(self, link: CardLink, source: Any, wanted: BlockMap) -> None:
        done = 0
        for offset, length in wanted.mapped:
            source.seek(offset)
            for at in range(offset, offset + length, _PIECE):
                data = source.read(min(_PIECE, offset + length - at))
                link.ask("write", timeout=_REQUEST, offset=at, data=data)
                done += len(data)
                progress("flash", done, wanted.bytes, board=self._board)


_NOTHING: dict[str, Any] = {"size": 0, "read_only": False, "serial": "", "kind": "", "users": ()}


def _look(link: CardLink) -> CardLook:
    try:
        found = link.ask("look", timeout=_REQUEST)
    except LabError as error:
        if "No such file" in error.brief or "No medium" in error.brief:
            return CardLook(**_NOTHING)
        raise
    return CardLook(**{**found, "users": tuple(found["users"])})


def _time(length: int) -> float:
    return _REQUEST + length / _SLOWEST


def _digest(image: Path, wanted: BlockMap) -> str:
    digest = hashlib.sha256()
    with image.open("rb") as source:
        for offset, length in wanted.mapped:
            source.seek(offset)
            for at in range(offset, offset + length, _PIECE):
                digest.update(source.read(min(_PIECE, offset + length - at)))
    return digest.hexdigest()
