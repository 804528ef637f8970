"""A bench between two scenarios."""

from pathlib import Path
from typing import cast

from harness.clients.client import Client
from harness.errors import HarnessError
from harness.faults.manners import ServerFault
from harness.faults.network import NetworkFault
from harness.process import run
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
