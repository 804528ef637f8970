"""The SD mux and the card in it, looked at from the host of its reader; the board is off."""

import secrets

from harness.boards.hardware.card import BOARD, HOST, Card, CardLook, Storage
from harness.boards.hardware.card_link import CardLink
from harness.deadline import reached_within
from harness.errors import LabError

_COMES = 10.0  # seconds for a card to come or to go
_ANSWER = 30.0  # seconds for one request
_LOOK = 0.2  # seconds between two looks
_SECTOR = 4096  # bytes at the card's end, where a partition table leaves room; put back


def look_at_mux(card: Card, storage: Storage) -> str:
    """Give the card to the host and to the board: its device must come, and go."""
    for to, there in ((HOST, True), (BOARD, False)):
        card.give(to)
        if not _waited(card, there=there):
            seen = "no card comes at" if there else "the card is still at"
            raise LabError(
                f"the mux says {to!r}, and {seen} {storage.path}",
                hint="the mux is stuck, or its cable leads to another card; or no card is in it",
            )
    return f"{storage.path} comes with the card, and goes with it"


def look_at_card(card: Card, storage: Storage, *, serial: str) -> str:
    """What it is, whether it takes writes and keeps them. The board has it afterwards."""
    card.give(HOST)
    try:
        look = card.look()
        _require_right(look, storage, serial=serial)
        with CardLink(storage.wrap_command, storage.path) as link:
            link.ask("open", timeout=_ANSWER, write=True)
            _require_kept(link, look.size - _SECTOR)
    finally:
        card.give(BOARD)
    return f"{look.serial}, {look.size >> 20} MiB, takes writes and keeps them"


def _require_right(look: CardLook, storage: Storage, *, serial: str) -> None:
    if look.kind == "disk":
        raise LabError(
            f"{storage.path} is a disk of its host, no card",
            hint="correct the path of the mux in the exporter's file",
        )
    if look.users:
        raise LabError(
            f"{storage.path}: {'; '.join(look.users)}",
            hint="unmount it, and keep the desktop from mounting cards (udisks)",
        )
    if serial and look.serial != serial:
        raise LabError(
            f"{storage.path} is {look.serial or 'of no serial'}, not {serial}",
            hint="another card is in the mux, or options.card_serial is not its own",
        )
    if look.read_only:
        raise LabError(
            f"card {look.serial} is read-only",
            hint="its switch is at `lock`, or it is worn: replace it",
        )


def _require_kept(link: CardLink, offset: int) -> None:
    """Write the last bytes of the card, read them back from the card itself, put them back."""
    before = link.read(offset, _SECTOR, timeout=_ANSWER)
    written = secrets.token_bytes(_SECTOR)
    link.ask("write", timeout=_ANSWER, offset=offset, data=written)
    link.ask("flush", timeout=_ANSWER)
    kept = link.read(offset, _SECTOR, timeout=_ANSWER) == written
    link.ask("write", timeout=_ANSWER, offset=offset, data=before)
    link.ask("flush", timeout=_ANSWER)
    if not kept:
        raise LabError(
            "the card takes writes and does not keep them",
            hint="it is worn, or not as large as it says: replace it",
        )


def _waited(card: Card, *, there: bool) -> bool:
    return reached_within(_COMES, lambda: card.seen() is there, poll=_LOOK)
