"""Update clients by the name that recipes and releases give them, or by what a profile says."""

from harness import plugins
from harness.boards.board import Board
from harness.clients.client import Client
from harness.clients.outside import OutsideClient
from harness.product.product import Product


def client_of(product: Product, board: Board) -> Client:
    """The client of a product, on `board`; ConfigurationError for one that nobody knows."""
    if product.device:
        return OutsideClient(board, product.device, client=product.client)
    return make_client(product.client, board)


def make_client(name: str, board: Board) -> Client:
    """The client called `name`, on a `board` that has the gateway's programs; ConfigurationError
    for an unknown one."""
    client: Client = plugins.load(plugins.CLIENTS, name, kind=Client, key="client")(board)
    return client
