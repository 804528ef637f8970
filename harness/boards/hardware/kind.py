"""Whether a board is real: a lab file must say when it is not, and what it is is told."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from harness import files
from harness.boards.hardware.card import CardLook
from harness.boards.lab_file import BoardOptions, Kind
from harness.errors import ConfigurationError


def require_told(
    lab: Path, board: str, options: BoardOptions, address: str, look: CardLook | None
) -> None:
    """ConfigurationError for what cannot be hardware and does not say so."""
    if options.get("virtual"):
        return
    why = ""
    if look and look.kind == "loop":
        why = "its card is a loop device"
    elif _is_loopback(address):
        why = f"its address {address} is this host"
    if why:
        raise ConfigurationError(
            f"{files.shown(lab)}: targets.{board}.options.virtual is missing: {why}",
            hint="virtual: true; what it shows then never counts as shown on a real board",
        )


def described(options: BoardOptions, parts: Any) -> dict[str, str]:
    """What evidence says of a board and its bench."""
    return {
        "kind": str(Kind.VIRTUAL if options.get("virtual") else Kind.REAL),
        "board_serial": options.get("board_serial", ""),
        "card_serial": options.get("card_serial", ""),
        "relay": parts.relay,
        "console": parts.port,
    }


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
