"""A board fresh from the factory: a version flashed, booted, and given what a site gives it.

That is the update server's URL, and data of the site's own that no update may touch: the sentinel,
whose content the judge knows (`harness.judge.sentinel`).
"""

from harness.boards.board import Board
from harness.clients.client import Client
from harness.errors import DeviceError
from harness.judge.sentinel import sentinel, written
from harness.product.release import Release

# Of the slowest board on a busy host; what is quicker is not made slower.
BOOT_SECONDS = 300.0
DOWNLOAD_AND_INSTALL_SECONDS = 900.0
_SHORT = 60.0  # seconds for one command


def boot_factory(board: Board, client: Client, release: Release) -> None:
    """Flash `release` and boot it for the first time, until it is healthy; else DeviceError."""
    board.power_off()
    board.flash(release.disk_image)
    board.power_on()
    client.await_health(timeout=BOOT_SECONDS)


def provision(board: Board, client: Client, *, server_url: str) -> None:
    """Give a healthy board what a site gives it; DeviceError when it cannot be written to."""
    client.provision(server_url)
    write_sentinel(board, client)


def write_sentinel(board: Board, client: Client) -> None:
    """Give it the site's own data, also once more after they were lost."""
    folder, entries = client.data_folder, sentinel()
    folders = [name for name, each in entries.items() if each.content is None]
    board.run(f"cd / && mkdir -p {' '.join(f'{folder}/{n}' for n in folders)}", timeout=_SHORT)
    for name, each in entries.items():
        if each.content is not None:
            board.put(each.content, f"{folder}/{name}", timeout=_SHORT)
    done = board.run(f"{written(folder)} && sync", timeout=_SHORT)
    if done.returncode != 0:
        raise DeviceError(
            f"{board.name}: the site's data cannot be given their owners and modes",
            details=done.stderr,
        )
