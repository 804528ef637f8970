"""A server that answers in another manner, and a device that is made up: what it never met."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import LabError
from harness.faults.manners import ServerFault
from harness.judge.verdict import Judgement, Verdict
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard
from tests.unit.suite_module import suite_module

NEW = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())
RELEASE = cast(Any, SimpleNamespace(artifact=Path(__file__)))


@pytest.mark.parametrize("strange", [0, 2])
def test_a_manner_that_nobody_met_was_not_injected(
    strange: int, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Of a client that never sends HEAD, a server that refuses HEAD proved nothing, and passed."""
    suite = suite_module(pytestconfig, "test_network")
    server = SimpleNamespace(strange_answers=0)

    def behave(fault: ServerFault | None, **_: object) -> None:
        server.strange_answers = 0

    def install(*_: object, **__: object) -> SimpleNamespace:
        server.strange_answers = strange
        return SimpleNamespace(ok=True, output="installed")

    server.behave = behave
    proxy = SimpleNamespace(
        requests=[], downloads=lambda _: [], struck=True, arm=lambda _: 0, disarm=lambda: 0
    )
    bench = SimpleNamespace(
        board=FakeBoard(),
        client=SimpleNamespace(install=install),
        server=server,
        proxy=proxy,
        judge=lambda *_: None,
        running=lambda _: None,
        offer=lambda _: "url",
        reboot=lambda _: NEW,
        trouble=lambda _: None,
    )
    scenario = Scenario(
        id="server[redirect]",
        bench=cast(Bench, bench),
        folder=tmp_path,
        keep=lambda _: None,
        replay="again",
    )
    scenario.second_update = lambda *_: None  # type: ignore[method-assign]
    fault = ServerFault.parse("server:redirect")
    if strange:
        suite.another_server(bench, scenario, fault, RELEASE, RELEASE)
        assert scenario.record and scenario.record.passed
        assert scenario.record.fault and scenario.record.fault.parameters["answers"] == strange
        return
    with pytest.raises(LabError, match="not injected: no answer of the server was redirect"):
        suite.another_server(bench, scenario, fault, RELEASE, RELEASE)
    assert scenario.record and scenario.record.verdict is None
