"""Update clients by the name that recipes and releases give them."""

from harness import plugins
from harness.boards.board import Board
from harness.clients.client import Client


def make_client(name: str, board: Board) -> Client:
    """The client called `name`, on `board`; raises ConfigurationError for an unknown one."""
    client: Client = plugins.load(plugins.CLIENTS, name, kind=Client, key="client")(board)
    return client
