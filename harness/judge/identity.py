"""Who a device is: its SSH host key, and the id that it tells of itself.

No update and no power cut may change them: a gateway with another key is another device to its
site. Whoever looks first learns them; from then on another one is a broken invariant.
"""

from dataclasses import dataclass, fields

from harness.boards.board import Board
from harness.clients.client import DeviceStatus
from harness.judge.verdict import Invariant

NAME = "identity"  # the invariant


@dataclass(slots=True, kw_only=True)
class Identity:
    """What must stay as it is; an empty field is not known yet, and learned at the first look."""

    host_key: str = ""  # type and base64, as the board's SSH server presents it
    device_id: str = ""  # empty for an image that tells none: then it is not checked

    def look(self, board: Board, status: DeviceStatus, *, timeout: float) -> Invariant:
        """Whether the board is the device that it was; DeviceError when it does not answer."""
        found = Identity(host_key=board.host_key(timeout=timeout), device_id=status.device_id)
        changed = [
            f"{each.name} was {known}, is {getattr(found, each.name) or 'none'}"
            for each in fields(self)
            if (known := getattr(self, each.name)) and known != getattr(found, each.name)
        ]
        self.host_key = self.host_key or found.host_key
        self.device_id = self.device_id or found.device_id
        return Invariant(name=NAME, holds=not changed, detail="; ".join(changed))

    def become(self, other: "Identity") -> None:
        """Be the identity of another device, for all who hold this one."""
        self.host_key, self.device_id = other.host_key, other.device_id
