"""Why a board is not reached over the network, as far as the bench itself can tell.

What a product does with its own network is its own. But a host that has lost the address of its
servers, its way to the board or its cable is the bench's; so is an address at which another host
answers: then the board itself, asked over its console, says the host key that it always had.
"""

import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path

from harness import process
from harness.errors import LabError

SSH_ANSWERS = "timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -n 1 <&3'"
HOST_KEYS = "sshd -T 2>/dev/null | sed -n 's/^hostkey //p' | while read key; do cat $key.pub; done"
_SECONDS = 10.0


def require_way(board: str, address: tuple[str, int], listen: str) -> None:
    """LabError when this host has no way to `address`, or has no longer the address `listen` (may
    be empty)."""
    if listen:
        with socket.socket() as server:
            try:
                server.bind((listen, 0))
            except OSError as error:
                raise LabError(
                    f"{board}: this host has no address {listen} any more",
                    details=str(error),
                    hint="options.listen: is the network adapter there, and its cable?",
                ) from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect(address)
        except OSError as error:
            raise LabError(
                f"{board}: this host has no way to {address[0]}: {error}",
                hint="its network adapter, its cable, its routes",
            ) from error
        device = _device(str(probe.getpeername()[0]))
    if device and _text(Path("/sys/class/net", device, "carrier")) == "0":
        raise LabError(f"{board}: the cable of this host's {device} is out, or its other end dead")


def require_other_host(
    board: str, pinned: str, ask: Callable[[str], list[str]], address: tuple[str, int]
) -> None:
    """LabError when a host key that is not the pinned one is another host's: the board's own, asked
    over its console, is as it was."""
    key = " ".join(pinned.split()[:2])
    if key and any(" ".join(line.split()[:2]) == key for line in ask(HOST_KEYS)):
        raise LabError(
            f"{board}: another host answers at {address[0]}:{address[1]}",
            details=f"the board itself still has {key}",
            hint="two hosts have that address, or NetworkService is another one's",
        )


def _device(address: str) -> str:
    """The network device through which packets for `address` leave; empty when nobody says."""
    with contextlib.suppress(LabError, ValueError, IndexError, KeyError, TypeError):
        told = process.run(["ip", "-json", "route", "get", address], timeout=_SECONDS).stdout
        return str(json.loads(told)[0]["dev"])
    return ""


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # of a device that is down, too
        return ""
