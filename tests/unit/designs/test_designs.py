"""Public designs: each can be built and adopted as it says, and what is told of them is stored."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from harness.clients.selection_format import reader_of
from harness.designs import design, results, table
from harness.designs.design import Design
from harness.designs.results import DesignResults, Explored, ScenarioResult, VariantResult
from harness.designs.run import DesignRun
from harness.errors import ConfigurationError
from harness.evidence.record import Outcome
from harness.faults.power import PowerFault
from harness.judge.verdict import Verdict
from harness.product import profile

ROOT = Path(__file__).parents[3]
OURS = ROOT / "images/designs"
FILE = {
    "title": "T",
    "machine": "M",
    "boot_selection": "a file",
    "slots": "S",
    "documents": ["D"],
    "packages": ["p"],
    "artifact": "update",
    "board": "b",
    "scenarios": ["update", "power-cut[acknowledged/all]"],
    "variants": {"plain": {"what": "as it is"}, "other": {"what": "mended", "build": ["--mend"]}},
}
PASSED = ScenarioResult(
    scenario="update",
    outcome=Outcome.PASSED,
    verdict=Verdict.NEW,
    expected=(Verdict.NEW,),
    finished=datetime(2026, 1, 2, tzinfo=UTC),
    replay="harness test",
)
FAILED = replace(
    PASSED,
    scenario="power-cut[acknowledged/all]",
    outcome=Outcome.FAILED,
    verdict=Verdict.OLD,
    why=("slot|content: neither",),
    cut={"cut": {"position": 7, "unflushed": 3}},
    replay="harness test --scenario X",
)
RESULT = VariantResult(
    inputs="0" * 64,
    harness="abc",
    packages={"p": "1.2"},
    packages_sha256="1" * 64,
    accelerator="tcg",
    scenarios=(PASSED, FAILED),
)


def made(folder: Path, **changes: object) -> Design:
    place = folder / "one"
    place.mkdir(exist_ok=True)
    (place / "design.yaml").write_text(yaml.safe_dump({**FILE, **changes}))
    (place / "build").write_text("#!/bin/sh\n")
    return design.load(place)


@pytest.mark.parametrize("ours", design.known(OURS).values(), ids=lambda each: each.name)
def test_ours_can_be_built_and_adopted_as_they_say(ours: Design) -> None:
    assert (ours.folder / design.BUILD).stat().st_mode & 0o111
    for variant in ours.variants.values():
        found = profile.load(ours.folder / variant.profile)
        reader_of(found.boot_selection)
        told = {name: bad.release for name, bad in found.variants.items()}
        assert told == {name: f"out/{version}" for name, version in ours.breaks.items()}
    for scenario in ours.scenarios:
        kind, _, fault = scenario.rstrip("]").partition("[")
        if kind in ("power-cut", "faults"):
            assert str(PowerFault.parse(fault)) == fault
    assert f"  {ours.board}:" in (ours.folder / "lab.yaml").read_text()


@pytest.mark.parametrize("ours", design.known(OURS), ids=str)
def test_each_has_a_page(ours: str) -> None:
    assert (ROOT / f"docs/designs/{ours}.md").is_file()


def test_the_table_is_made_of_what_is_stored() -> None:
    told = "harness designs table -o docs/designs/README.md"
    assert (ROOT / "docs/designs/README.md").read_text() == table.page(design.known(OURS)), told


def test_what_a_design_is_made_of(tmp_path: Path) -> None:
    one = made(tmp_path)
    plain, other = one.variants["plain"], one.variants["other"]
    before = one.inputs(plain)
    assert one.inputs(other) != before
    (one.folder / "out").mkdir()
    (one.folder / "out/disk.img").touch()
    results.save(one.folder, DesignResults())
    assert one.inputs(plain) == before
    (one.folder / "build").write_text("#!/bin/sh\ntrue\n")
    assert one.inputs(plain) != before


@pytest.mark.parametrize(
    ("changes", "key"), [({"scenarios": []}, "scenarios"), ({"colour": "red"}, "colour")]
)
def test_what_is_wrong_is_told(tmp_path: Path, changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        made(tmp_path, **changes)
    assert key in f"{told.value}\n{told.value.details}"


def test_a_design_or_variant_that_is_not_there(tmp_path: Path) -> None:
    one = made(tmp_path)
    with pytest.raises(ConfigurationError, match="no design 'two'"):
        design.named("two", tmp_path)
    with pytest.raises(ConfigurationError, match="no variant 'blue'"):
        DesignRun(design=one, variant="blue", budget=0, tell=lambda *_: None).run()


def test_results_are_read_back(tmp_path: Path) -> None:
    one = made(tmp_path)
    assert results.load(one.folder) == DesignResults()
    kept = DesignResults().with_variant("plain", RESULT)
    results.save(one.folder, kept)
    assert results.load(one.folder) == kept
    (one.folder / results.FILE).write_text('{"variants": {"plain": {}}}')
    with pytest.raises(ConfigurationError, match=r"results\.json"):
        results.load(one.folder)


def test_findings_are_told_with_what_was_covered(tmp_path: Path) -> None:
    one = made(tmp_path)
    results.save(one.folder, DesignResults().with_variant("plain", RESULT))
    page = table.page({"one": one})
    assert "| 2026-01-02 | 2 of 2 scenarios, cut points not explored |" in page
    assert "power-cut[acknowledged/all]: old |" in page
    assert "cut after 7 records of the write log with 3 writes in doubt, ends old" in page
    assert r"- slot\|content: neither" in page
    assert "\n    harness test --scenario X\n" in page
    assert "| other | a file | never run | nothing | nothing is known |" in page


def test_no_finding_is_not_called_safe() -> None:
    few = replace(RESULT, scenarios=(PASSED,), waiting=("x",), left_out={"y": "no such thing"})
    assert table.found(few) == "no finding in what was covered"
    assert table.covered(few, ["x", "y"]) == "1 of 2 scenarios, 1 left out, cut points not explored"
    explored = Explored(total=1000, decided=900, bad=3, boots=5, minutes=1.0)
    deep = replace(few, explored=explored)
    assert table.found(deep) == "3 cut points end badly"
    assert "900 of 1,000 cut points of one update" in table.covered(deep, ["x"])


def test_lab_trouble_is_no_verdict() -> None:
    trouble = replace(PASSED, outcome=Outcome.LAB_ERROR, verdict=None, why=("no host",))
    assert replace(RESULT, scenarios=(trouble,)).judged == ()


def test_a_finding_on_a_bench_that_then_had_no_time() -> None:
    """It has failed, and has no verdict."""
    found = replace(FAILED, verdict=None, why=("final-version: ended in old", "too busy"))
    assert found.ending == "broken"
    assert table.found(replace(RESULT, scenarios=(found,))) == f"{FAILED.scenario}: broken"
    assert replace(found, outcome=Outcome.LAB_ERROR).ending == "lab-error"
