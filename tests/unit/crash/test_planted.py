"""What the suite's explorations leave: a control's record, and one about the release itself."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.crash.results import results
from harness.crash.results.results import Bad, Results
from harness.evidence.record import Record
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard
from tests.unit.crash import explored, recordings
from tests.unit.suite_module import suite_module

BROKEN = cast(
    Release,
    SimpleNamespace(variants=("careless-client",), slot=SimpleNamespace(sha256="0" * 64)),
)


@pytest.fixture(scope="module")
def suite(pytestconfig: pytest.Config) -> Any:
    return suite_module(pytestconfig, "test_crash")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recordings.recording(tmp_path_factory.mktemp("planted")).folder
    explored.explore(folder)
    return folder


@pytest.fixture(scope="module")
def found(run: Path) -> Results:
    return results.load(run)


@pytest.fixture
def kept() -> list[Record]:
    return []


@pytest.fixture
def scenario(kept: list[Record], tmp_path: Path) -> Scenario:
    bench = cast(Bench, SimpleNamespace(board=FakeBoard()))
    return Scenario(
        id="crash[careless-client]", bench=bench, folder=tmp_path, keep=kept.append, replay="again"
    )


def ends_badly(found: Results, verdict: Verdict, why: str) -> Results:
    proof = found.boots[0]
    bad = Bad(state="3/all", verdict=verdict, why=(why,), proof=proof.id)
    proofs = (replace(proof, verdict=verdict), *found.proofs[1:])
    return replace(found, bad=(bad,), proofs=proofs)


def test_a_planted_fault_that_was_found_leaves_a_control(
    suite: Any, found: Results, run: Path, scenario: Scenario, kept: list[Record]
) -> None:
    asked = suite.CONTROLS["careless-client"]
    bad = ends_badly(found, Verdict.INCONSISTENT, "reachable: no answer")
    console = run / "proofs" / found.boots[0].id / "console"
    console.mkdir(exist_ok=True)
    (console / "boot-1.log").write_text("half a version")
    with scenario.of_control(BROKEN, *asked.expected), scenario:
        suite.conclude(scenario, asked, bad, run)
    assert kept == [] and scenario.record
    scenario.keep_control(BROKEN, scenario.record, *asked.expected)
    [record] = kept
    assert record.passed and record.control and record.control.variants == BROKEN.variants
    assert record.fault and record.fault.printed == "power-cut:explored:3/all"
    assert record.fault.parameters["why"] == ["reachable: no answer"]
    assert (scenario.folder / record.console_logs[0]).read_text() == "half a version"
    assert Record.from_data(record.to_data(), what="x") == record


def test_one_that_was_not_found_leaves_none(
    suite: Any, found: Results, run: Path, scenario: Scenario, kept: list[Record]
) -> None:
    """Bad, and for another reason; or not what it had to be called."""
    asked = suite.CONTROLS["careless-client"]
    for verdict, why in (
        (Verdict.INCONSISTENT, "identity: another key"),
        (Verdict.BRICKED, "reachable: no answer"),
    ):
        with (
            pytest.raises(AssertionError, match=why),
            scenario.of_control(BROKEN, *asked.expected),
            scenario,
        ):
            suite.conclude(scenario, asked, ends_badly(found, verdict, why), run)
    assert kept == []


def test_two_explorations_say_what_they_found_of_the_release(
    suite: Any, found: Results, scenario: Scenario, kept: list[Record]
) -> None:
    scenario.id, scenario.consoles = "crash-on-a-cluster", ()
    found = replace(found, bad=())  # all of these boots ended well
    with scenario:
        suite.conclude_both(scenario, found, found)
    assert kept[0].passed and kept[0].boots == 2 * sum(each.boots for each in found.boots)
    bad = ends_badly(found, Verdict.BRICKED, "healthy: no sign of health")
    scenario = replace(scenario.afresh(), control=False, consoles=())
    with pytest.raises(AssertionError, match="healthy: no sign of health"), scenario:
        suite.conclude_both(scenario, found, bad)
    assert kept[1].verdict is Verdict.BRICKED and not kept[1].passed
