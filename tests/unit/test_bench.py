"""A bench between two scenarios."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.boards.board import CommandResult
from harness.boards.capability import Capability, SavedState
from harness.clients.client import Client
from harness.clients.gateway import GatewayClient
from harness.errors import HarnessError, LabError
from harness.faults.manners import ServerFault
from harness.faults.network import NetworkFault
from harness.process import run
from harness.product.release import Release
from harness.scenarios import bench as benches
from harness.scenarios.bench import Bench
from harness.updates.proxy import Proxy
from harness.updates.server import HEALTHY, UpdateServer
from tests.unit.boards.fake import FakeBoard


def asked(url: str) -> str:
    return run(["curl", "-sS", "--fail", url], timeout=10, error=HarnessError).stdout


def test_what_a_scenario_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "update").write_text("all of it")
    with UpdateServer() as server, Proxy(server.address) as proxy:
        bench = Bench(board=FakeBoard(), client=cast(Client, None), server=server, proxy=proxy)
        server.add("update", tmp_path / "update")
        server.behave(ServerFault.parse("server:portalx99"))
        server.be_ill()
        proxy.arm(NetworkFault.parse("status:503x99"))
        bench.calm()
        assert asked(proxy.url("update")) == "all of it"
        assert asked(proxy.url("health")) == HEALTHY


@dataclass
class Speaking(FakeBoard):
    """Says that in its boots."""

    logs: list[Path] = field(default_factory=list)

    @property
    def console_logs(self) -> list[Path]:
        return self.logs


def test_what_shows_that_a_bad_version_ran_comes_from_its_own_boots(tmp_path: Path) -> None:
    """A good version that goes down says `Rebooting`, too."""
    said = ("login:\nRebooting.\n", "Kernel panic\n", "login:\n")
    logs = [tmp_path / f"boot-{number}.log" for number in range(1, len(said) + 1)]
    for log, text in zip(logs, said, strict=True):
        log.write_text(text)
    board = Speaking(logs=logs)
    with UpdateServer() as server, Proxy(server.address) as proxy:
        bench = Bench(board=board, client=cast(Client, None), server=server, proxy=proxy)
        assert "Rebooting" in bench.console_text()
        assert bench.console_text(after=1) == "Kernel panic\nlogin:\n"


@dataclass
class Kept(FakeBoard):
    """Says what is done to it."""

    done: list[str] = field(default_factory=list)

    def save(self, name: str) -> SavedState:
        self.done.append("save")
        return SavedState(folder=Path("/nowhere"), boots=1)

    def restore(self, state: SavedState) -> None:
        self.done.append("restore")

    def expect(self, pattern: str, timeout: float) -> str:
        return "health"


class Counted(Bench):
    """Without a device that could be asked."""

    def boot_fresh(self, release: Release) -> None:
        cast(Kept, self.board).done.append("boot fresh")


@pytest.mark.parametrize(
    ("lacks", "done"),
    [
        (frozenset(), ["boot fresh", "save", "restore"]),
        ({Capability.SAVE}, ["boot fresh", "boot fresh"]),
    ],
)
def test_a_state_is_gone_back_to_where_the_board_can(
    tmp_path: Path, lacks: frozenset[Capability], done: list[str]
) -> None:
    board = Kept()
    board.lacks = lacks
    image = SimpleNamespace(sha256="0" * 64)
    release = cast(Release, SimpleNamespace(version="1.0.0", files={"disk.img": image}))
    with UpdateServer() as server, Proxy(server.address) as proxy:
        bench = Counted(board=board, client=GatewayClient(board), server=server, proxy=proxy)
        bench.running(release)
        bench.running(release)
    assert board.done == done


class Reaching(FakeBoard):
    """Answers what `curl` says on it."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def run(self, command: str, *, timeout: float) -> CommandResult:
        code = self.codes.pop(0)
        return CommandResult(stdout="" if code else HEALTHY, stderr="", returncode=code)


def test_a_board_that_never_reached_the_server_is_the_labs_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else each good version would be left for the one before, and be blamed for that."""
    client = cast(Client, SimpleNamespace(keeps_server=True))
    with UpdateServer() as server, Proxy(server.address) as proxy:
        late = Bench(board=Reaching(7, 0), client=client, server=server, proxy=proxy)
        late._require_reached()
        late._require_reached()  # it is not asked again
        assert late.reached
        monkeypatch.setattr(benches, "_REACH_SECONDS", 0.0)
        never = Bench(board=Reaching(7), client=client, server=server, proxy=proxy)
        with pytest.raises(LabError, match="does not reach the update server at http://"):
            never._require_reached()


def test_a_server_that_is_gone_is_the_labs_trouble() -> None:
    with UpdateServer() as server, Proxy(server.address) as proxy:
        bench = Bench(board=FakeBoard(), client=cast(Client, None), server=server, proxy=proxy)
        server.be_ill()
        assert bench.trouble("it hangs") is None
    with Proxy(server.address) as proxy:
        gone = Bench(board=FakeBoard(), client=cast(Client, None), server=server, proxy=proxy)
        trouble = gone.trouble("it hangs")
    assert trouble and "update server does not answer" in str(trouble)
    assert trouble.details == "it hangs"
