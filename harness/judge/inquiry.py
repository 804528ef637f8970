"""What a device that is up says when it is asked: the first step of a judgement."""

import shlex
from dataclasses import dataclass
from typing import Self

from harness.boards.board import Board
from harness.clients.client import Client, DeviceStatus
from harness.errors import DeviceError
from harness.judge.identity import Identity
from harness.judge.sentinel import asked, changed
from harness.judge.services import Services
from harness.judge.verdict import Invariant, NotChecked
from harness.updates.server import HEALTHY

REACH_SECONDS = 60.0  # for a healthy board to answer over SSH
_SERVER = 'curl -sS --fail -m 20 "$(cat /data/config/update-server)/health"'
_DF_FIELDS = 6  # device, size, used, free, share, place (POSIX, df -P)
_UNTOLD = "the device does not keep the URL of an update server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Its answers; `invariants` are all that follow from them alone."""

    status: DeviceStatus
    services: Services
    invariants: tuple[Invariant, ...]
    not_checked: tuple[NotChecked, ...] = ()

    @classmethod
    def make(
        cls,
        board: Board,
        client: Client,
        identity: Identity,
        *,
        has_sentinel: bool,
        asks_server: bool,
    ) -> Self:
        """Ask for everything; DeviceError when it does not answer. The status comes last, for the
        medium is compared with it."""
        services = Services.look(board, timeout=REACH_SECONDS)
        failed = services.failed
        answers = [Invariant.of("no-failed-units", not failed, ", ".join(failed))]
        answers += [_keeps_data(board, client.data_folder)] if has_sentinel else []
        answers += [reaches_server(board)] if asks_server and client.keeps_server else []
        status = client.status(timeout=REACH_SECONDS)
        same = identity.look(board, status, timeout=REACH_SECONDS)
        healthy = Invariant.of("healthy", status.health == "ok", status.health)
        untold = asks_server and not client.keeps_server
        left = (NotChecked(name="update-server-reachable", why=_UNTOLD),) if untold else ()
        told = (same, healthy, *answers)
        return cls(status=status, services=services, invariants=told, not_checked=left)


def _keeps_data(board: Board, folder: str) -> Invariant:
    lost = changed(board.run(asked(folder), timeout=60).stdout)
    return Invariant.of("data-unchanged", not lost, f"{folder}: {'; '.join(lost)}")


def room(board: Board, folder: str) -> int:
    """Free bytes of the file system that a folder is in; DeviceError when nobody says so."""
    said = board.run(f"df -kP {shlex.quote(folder)}", timeout=60).stdout.splitlines()
    fields = said[-1].split() if said else []
    if len(fields) < _DF_FIELDS or not fields[3].isdecimal():
        raise DeviceError(f"{board.name}: how much room there is in {folder} is not said")
    return int(fields[3]) * 1024


def reaches_server(board: Board) -> Invariant:
    """Whether the update server answers it, over the URL that it was given."""
    result = board.run(_SERVER, timeout=40)
    told = f"{result.stderr.strip()} {result.stdout[:200]!r}"
    answered = result.returncode == 0 and result.stdout == HEALTHY
    return Invariant.of("update-server-reachable", answered, told)
