"""A design is built, adopted and run in real processes; images and verdicts are made up."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.designs import design, results
from harness.designs.results import VariantResult
from harness.designs.run import DesignRun
from harness.errors import BuildError, ConfigurationError, DeviceError, HarnessError, LabError
from harness.evidence.record import Outcome
from harness.judge.verdict import Verdict
from tests.unit.designs.test_designs import FAILED, FILE, PASSED, RESULT

ROOT = Path(__file__).parents[3]
BUILD = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/../built.txt"
for output; do :; done
mkdir -p "$output"
touch "$output/disk.img" "$output/update"
echo "p 1.2 amd64" >"$output/packages.txt"
"""
# The harness, but nothing is adopted, and the scenarios are made up.
FAKE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from dataclasses import replace
from pathlib import Path
from harness.builders.finished import adopt
from harness.clients import selection_format
from harness.evidence import signing
from harness.evidence.subject import read_subject
from harness.judge.verdict import Verdict
from harness.product import profile
from harness.product import release as releases
from harness.scenarios import runner
from tests.unit.evidence.samples import finished_run, make_release, record
def made(image, artifact, *, product, version, output, variants):
    make_release(output, version=version, variants=variants)
    found = releases.load(output)
    if Path("../refuses").exists():
        promises = replace(found.product.promises, downgrades="refused")
        replace(found, product=replace(found.product, promises=promises)).write()
    return releases.load(output)
adopt.adopt = made
profile.load = lambda file: type("P", (), {{"boot_selection": None, "device": ""}})
selection_format.reader_of = lambda source: None
def run_scenarios(selection, store):
    subject, before = read_subject(selection.release), read_subject(selection.from_release)
    bad = Path("../mended").exists() and Verdict.NEW or Verdict.BRICKED
    verdict = lambda name: bad if "cut" in name else Verdict.NEW
    records = [record(name, verdict(name)) for name in selection.scenarios]
    Path("../ran.txt").open("a").write(f"{{len(records)}}\\n")
    return finished_run(store, subject, records, signing.load_signer(), from_release=before)
runner.run_scenarios = run_scenarios
from harness import cli
from harness.crash import record as recorder
from harness.crash.exploration import explore as explorer
from harness.crash.results import results as crash_results
from tests.unit.crash import explored, recordings
def recorded(release, from_release, *, board, lab, output, bad, newer, like):
    Path("../recorded.txt").open("a").write(f"{{bad}} {{newer}} {{board}}\\n")
    folder = recordings.recording(Path("..", "recording").resolve(), careful=False).folder
    output.symlink_to(folder)
    return recorder.Recording.load(output)
def explore(folder, plan):
    Path("../explored.txt").open("a").write(f"{{plan.budget}} {{' '.join(plan.first)}}\\n")
    if not (folder / crash_results.FILE).exists():
        explored.explore(folder)
    return crash_results.load(folder)
recorder.record, explorer.explore = recorded, explore
cli.main()
"""
Run = Callable[..., VariantResult]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "build").write_text(BUILD)
    (folder / "build").chmod(0o755)
    (folder / "harness.toml").write_text('lab = "lab.yaml"\n')
    (folder / "lab.yaml").write_text("targets: {}\n")
    (folder / "design.yaml").write_text(yaml.safe_dump({**FILE, "breaks": {"panic": "1.2.0"}}))
    return folder


def run(folder: Path, variant: str = "plain", **more: object) -> VariantResult:
    words = {"budget": 0.0, "explore": False, **more}
    return DesignRun(
        design=design.load(folder),
        variant=variant,
        tell=lambda *_: None,
        program=(sys.executable, "-c", FAKE),
        **words,  # type: ignore[arg-type]
    ).run()


def test_built_adopted_run_and_stored(place: Path) -> None:
    found = run(place)
    assert [each.scenario for each in found.scenarios] == sorted(FILE["scenarios"])
    assert [each.verdict for each in found.findings] == [Verdict.BRICKED]
    assert (found.packages, found.waiting) == ({"p": "1.2"}, ())
    assert found.harness == "c" * 12
    assert results.load(place).variants == {"plain": found}
    built = (place.parent / "built.txt").read_text().splitlines()
    assert [line.split()[1] for line in built] == ["1.0.0", "1.1.0", "1.2.0"]
    assert "--break panic" in built[2]


def test_what_is_known_of_the_same_images_is_not_done_again(place: Path) -> None:
    first = run(place)
    assert run(place) == first
    assert (place.parent / "ran.txt").read_text() == "2\n"
    assert len((place.parent / "built.txt").read_text().splitlines()) == 3
    other = run(place, "other")
    assert "--mend" in (place.parent / "built.txt").read_text()
    assert results.load(place).variants == {"plain": first, "other": other}


def test_another_build_is_run_again(place: Path) -> None:
    run(place)
    (place / "build").write_text(f"{BUILD}# mended\n")
    run(place)
    assert (place.parent / "ran.txt").read_text() == "2\n2\n"


def test_a_budget_that_is_over_leaves_scenarios_waiting(place: Path) -> None:
    found = run(place, budget=1e-9)
    assert (found.scenarios, found.waiting) == ((), tuple(FILE["scenarios"]))
    assert run(place).waiting == ()


def test_its_cut_points_are_explored_and_signed(place: Path) -> None:
    unwell = {"panic": "1.2.0", "failing-service": "1.3.0"}
    (place / "design.yaml").write_text(yaml.safe_dump({**FILE, "breaks": unwell}))
    (place.parent / "recording").mkdir()
    explored = run(place, explore=True).explored
    assert explored, run(place).not_explored
    assert 0 < explored.bad < explored.decided == explored.total
    assert sum(each.cuts for each in explored.found) >= explored.bad
    first = explored.found[0]
    assert (first.verdict.failed, first.replay.split()[:4]) == (
        True,
        ["harness", "crash", "replay", "out/recording"],
    )
    assert (place.parent / "recorded.txt").read_text() == "out/1.3.0 None b\n"
    assert (place.parent / "explored.txt").read_text().startswith("inf switch ")
    assert run(place, explore=True, budget=90.0).explored == explored  # recorded once
    assert (place.parent / "recorded.txt").read_text() == "out/1.3.0 None b\n"
    assert re.search(r"^\d\d\.0 switch ", (place.parent / "explored.txt").read_text(), re.MULTILINE)


def test_a_design_that_refuses_older_versions_is_asked_for_a_newer_one(place: Path) -> None:
    (place.parent / "refuses").touch()
    (place.parent / "recording").mkdir()
    assert run(place, explore=True).explored
    assert (place.parent / "recorded.txt").read_text() == "None out/1.9.0 b\n"
    assert "--version 1.9.0" in (place.parent / "built.txt").read_text()


def test_what_cannot_be_recorded_is_told(place: Path) -> None:
    found = run(place, explore=True)
    assert (found.explored, bool(found.not_explored)) == (None, True)
    assert run(place, explore=True, budget=30.0).not_explored == found.not_explored


def test_one_scenario_alone(place: Path) -> None:
    found = run(place, only=("update",))
    assert [each.scenario for each in found.scenarios] == ["update"]
    assert found.waiting == ("power-cut[acknowledged/all]",)
    built = (place.parent / "built.txt").read_text()
    assert "--break" not in built  # a bad version is built when it is needed
    assert run(place).waiting == ()
    assert (place.parent / "built.txt").read_text().removeprefix(built).count("--version") == 1
    with pytest.raises(ConfigurationError, match="has no scenario 'dance'"):
        run(place, only=("dance",))


def test_what_is_known_is_run_again_where_that_is_asked(place: Path) -> None:
    first = run(place)
    assert run(place, again=True) != first
    assert (place.parent / "ran.txt").read_text() == "2\n2\n"
    assert run(place, again=True, budget=1e-9).waiting == ()


def test_what_is_oldest_is_run_again_first(place: Path) -> None:
    found = run(place)
    late = replace(found.scenarios[1], finished=found.scenarios[1].finished.replace(year=2001))
    old = replace(found, scenarios=(found.scenarios[0], late))
    one = DesignRun(
        design=design.load(place), variant="plain", budget=0, tell=lambda *_: None, again=True
    )
    assert one.left(old) == (late.scenario, found.scenarios[0].scenario)
    assert one.left(replace(old, scenarios=(late,)))[-1] == late.scenario
    assert replace(one, again=False).left(old) == ()


def test_what_ends_otherwise_than_before_is_told() -> None:
    known = replace(RESULT, scenarios=(PASSED, FAILED))
    trouble = replace(PASSED, outcome=Outcome.LAB_ERROR, verdict=None)
    results.compared(known, known)
    results.compared(None, known)
    results.compared(replace(RESULT, scenarios=(trouble,)), known)
    with pytest.raises(LabError, match="update"):
        results.compared(known, replace(known, scenarios=(trouble, FAILED)))
    mended = replace(FAILED, outcome=Outcome.PASSED, verdict=Verdict.NEW)
    with pytest.raises(DeviceError, match=r"acknowledged/all\] ended new, and old before"):
        results.compared(known, replace(known, scenarios=(PASSED, mended)))


def test_a_build_that_fails_is_told(place: Path) -> None:
    (place / "build").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(BuildError):
        run(place)
    assert results.load(place).variants == {}


def test_a_command_that_fails_is_told(place: Path) -> None:
    broken = DesignRun(
        design=design.load(place),
        variant="plain",
        budget=0,
        tell=lambda *_: None,
        explore=False,
        program=("false",),
    )
    with pytest.raises(HarnessError):
        broken.run()
