"""Verdicts of QEMU boards beside those of a bench."""

import json
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from typer.testing import CliRunner

from harness import cli
from harness.boards.lab_file import Kind
from harness.errors import ConfigurationError, LabError
from harness.evidence import comparison, signing
from harness.evidence.evidence import BoardTold, Evidence
from harness.evidence.record import Record
from harness.evidence.store import EvidenceStore
from harness.evidence.subject import Subject
from harness.judge.verdict import Invariant, Verdict
from tests.unit.evidence.samples import finished_run, make_release, record

BENCH = "gateway-virtual-1"
BENCHES: dict[str, Any] = {"board": BENCH, "benches": {BENCH: BoardTold(kind=Kind.VIRTUAL)}}


@pytest.fixture
def run(store: EvidenceStore, subject: Subject, signer: CryptoSigner) -> Any:
    def made(*records: Record, **header: Any) -> Evidence:
        return finished_run(store, subject, records, signer, **header).evidence

    return made


def on_bench(
    scenario: str = "update", verdict: Verdict | None = Verdict.NEW, **more: Any
) -> Record:
    return record(scenario, verdict, board=BENCH, **more)


def test_each_scenario_is_compared(run: Any) -> None:
    broken = Invariant(name="stays-well", holds=False)
    qemu = run(
        *(record(name) for name in ("update", "bad", "late", "dies", "only-qemu", "walk")),
        record("starved", None),
    )
    bench = run(
        on_bench(),
        on_bench("bad", Verdict.OLD),
        on_bench("late", None),
        on_bench("dies", invariants=(broken,)),
        on_bench("starved"),
        on_bench("aimed"),
        left_out={"walk": "needs cut-at-write"},
        **BENCHES,
    )
    compared = {each.scenario: each for each in comparison.compare([qemu, bench])}
    assert {name: each.told for name, each in compared.items()} == {
        "update": "equal",
        "bad": "differ",
        "late": "lab trouble on gateway-virtual-1: QEMU ended with exit code 1",
        "dies": "differ",  # the same verdict, and another outcome
        "only-qemu": "not run on a bench",
        "walk": "left out: needs cut-at-write",
        "starved": "lab trouble on gateway-qemu: QEMU ended with exit code 1",
        "aimed": "not run on a QEMU board",
    }
    assert comparison.summaries(list(compared.values())) == [
        "virtual: 1 equal, 2 differ, 5 cannot be compared"
    ]
    assert compared["update"].boards == f"gateway-qemu, {BENCH}"
    assert comparison.problems(list(compared.values())) == [
        f"bad: differ (gateway-qemu, {BENCH})",
        f"dies: differ (gateway-qemu, {BENCH})",
        f"late: no verdict of the bench (gateway-qemu, {BENCH})",
    ]


def test_each_kind_of_bench_is_compared_by_itself(run: Any) -> None:
    """A virtual board's verdict does not stand for that of a real one."""
    real: Any = {"board": "desk", "benches": {"desk": BoardTold(kind=Kind.REAL)}}
    runs = [
        run(record()),
        run(record(verdict=Verdict.OLD, board="desk"), **real),
        run(on_bench(minute=5), **BENCHES),
    ]
    compared = comparison.compare(runs)
    assert {(each.kind, each.told) for each in compared} == {
        (Kind.REAL, "differ"),
        (Kind.VIRTUAL, "equal"),
    }
    assert comparison.problems(compared) == [
        "update: differ (gateway-qemu, desk)",
        "real: no scenario came to the same on both",
    ]


def test_where_nothing_is_equal_nothing_is_shown(run: Any) -> None:
    compared = comparison.compare([run(record("one")), run(on_bench("other"), **BENCHES)])
    assert comparison.problems(compared) == ["virtual: no scenario came to the same on both"]


def test_a_failure_is_not_forgotten_and_trouble_is(run: Any) -> None:
    first = run(record(verdict=Verdict.BRICKED), on_bench(verdict=None), **BENCHES)
    second = run(record(), on_bench(), **BENCHES)
    [one] = comparison.compare([first, second])
    assert one.qemu and one.qemu.verdict is Verdict.BRICKED
    assert one.bench and one.bench.verdict is Verdict.NEW
    assert one.differs


def test_of_another_version_in_the_field_nothing_is_compared(run: Any, tmp_path: Path) -> None:
    one, other = (make_release(tmp_path / v, version=v) for v in ("1.0.0", "1.0.1"))
    runs = [
        run(record(verdict=Verdict.BRICKED), from_release=one),
        run(record(), from_release=other),
        run(on_bench(), from_release=other, **BENCHES),
    ]
    [compared] = comparison.compare(runs)
    assert not compared.differs
    with pytest.raises(ConfigurationError, match="no evidence of a bench"):
        comparison.compare(runs[:2])
    with pytest.raises(ConfigurationError, match="no evidence of a QEMU board"):
        comparison.compare([runs[0], runs[2]])
    with pytest.raises(ConfigurationError, match="no evidence of a QEMU board"):
        comparison.compare([])


def test_the_command_writes_it_and_ends_with_3_where_they_differ(
    store: EvidenceStore, subject: Subject, tmp_path: Path
) -> None:
    signer, page = signing.load_signer(), tmp_path / "page.md"
    words = ["compare", str(tmp_path / "release"), "--store", str(store.folder)]
    finished_run(store, subject, [record(), record("a|b", None)], signer)
    finished_run(store, subject, [on_bench(), on_bench("a|b")], signer, **BENCHES)
    done = CliRunner().invoke(cli.app, [*words, "--output", str(page), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["compared"]["virtual"]["update"] == "equal"
    assert f"| `update` | new | new | equal | gateway-qemu, {BENCH} |" in page.read_text()
    assert "virtual: 1 equal, 0 differ, 1 cannot be compared." in page.read_text()
    finished_run(store, subject, [on_bench(verdict=Verdict.OLD, minute=9)], signer, **BENCHES)
    done = CliRunner().invoke(cli.app, words)
    assert isinstance(done.exception, LabError)
    assert "QEMU boards do: update: differ" in str(done.exception)
