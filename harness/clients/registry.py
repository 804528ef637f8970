"""Update clients by the name that recipes and releases give them."""

from collections.abc import Callable

from harness.boards.board import Board
from harness.clients.client import Client
from harness.clients.mender import MenderClient
from harness.clients.rauc import RaucClient
from harness.errors import ConfigurationError

CLIENTS: dict[str, Callable[[Board], Client]] = {
    "mender": MenderClient,
    "rauc": RaucClient,
}


def make_client(name: str, board: Board) -> Client:
    """The client called `name`, on `board`; raises ConfigurationError for an unknown one."""
    if name not in CLIENTS:
        raise ConfigurationError(
            f"client: there is no update client '{name}'",
            hint=f"known clients: {', '.join(sorted(CLIENTS))}",
        )
    return CLIENTS[name](board)
