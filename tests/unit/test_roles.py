"""In which role a scenario has the release under test: the one that docs/scenarios.md tells, and of
a control that of the release which it stands for."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness import plugins
from harness.builders.builder import Ability
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from tests.unit import roles
from tests.unit.test_controls import Again, BeginsError, Told, suite_controls
from tests.unit.test_scenario_names import like, named, rows

_BY_PHASE = {
    "new → old": "write:10% write:50% write:90% before-switch switch acknowledged bootloader",
    "old → new": "first-boot commit committed",
    "old → bad": "rollback",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    words = [sys.executable, "-m", "tests.unit.roles", str(tmp_path_factory.mktemp("roles"))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return cast(dict[str, str], json.loads(done.stdout.splitlines()[-1]))


def test_every_scenario_has_the_role_that_is_told(found: dict[str, str]) -> None:
    told: dict[
        str, str
    ] = {}  # `[FAULT]`, and then `[trial/FAULT]`: the later row is the closer one
    for row in rows("# Scenarios"):
        for name in named(row[0]):
            told |= {each: row[1] for each in found if like(name).fullmatch(each)}
    assert found.keys() - told.keys() == set()
    assert {
        each: role
        for each, role in found.items()
        if role != told[each] and not told[each].startswith("by ")
    } == {}
    assert len(found) > 100  # they were asked


def test_a_cut_strikes_what_the_release_under_test_writes(found: dict[str, str]) -> None:
    cuts = {each: told for each, told in found.items() if each.startswith("power-cut[")}
    phases = {phase: told for told, names in _BY_PHASE.items() for phase in names.split()}
    wrong = {
        name: told
        for name, told in cuts.items()
        if phases[name.removeprefix("power-cut[").partition("/")[0]] != told
    }
    assert wrong == {} and len(cuts) == 4 * len(phases)


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    found = roles.made(tmp_path)
    monkeypatch.setattr(plugins, "load", lambda *_, **__: Again())
    return found


@pytest.fixture
def controls(pytestconfig: pytest.Config) -> dict[str, Any]:
    return suite_controls(pytestconfig)


def plain(release: Release, broken: Release) -> str:
    """Its version, without what was taken out."""
    return release.version.replace("+" + "+".join(broken.variants), "")


def test_a_control_takes_the_place_of_the_release_under_test(
    both: Releases, controls: dict[str, Any]
) -> None:
    """Flashed where that is flashed, installed where it is installed; and there at all."""
    for name, control in controls.items():
        real, stood_in, broken = Told(), Told(), both.variant_of(both.new, *control.variants)
        with pytest.raises(BeginsError):
            control.scenario(cast(Bench, real), both, cast(Scenario, real), **control.case)
        with pytest.raises(BeginsError):
            control.go_through(cast(Bench, stood_in), both, cast(Scenario, stood_in), broken)
        assert broken in (*stood_in.updates[0], *stood_in.flashed), name
        for its, ours in zip(real.updates[0], stood_in.updates[0], strict=True):
            assert plain(ours, broken) == its.version, name
        assert plain(stood_in.flashed[0], broken) == real.flashed[0].version, name


def test_a_control_goes_through_the_scenario_that_is_told(
    controls: dict[str, Any], found: dict[str, str]
) -> None:
    told = {named(row[0])[0]: named(row[2])[0] for row in rows("## Negative controls")}
    wrong: dict[str, str] = {}
    for name, control in controls.items():
        function = control.scenario.__name__.removeprefix("test_").replace("_", "-")
        cases = [str(each) for each in control.case.values() if not isinstance(each, bool)]
        case = "/".join([*_words(control.case), *cases])
        identity = f"{function}[{case}]" if case else function
        wrong |= {} if identity == told[name] and identity in found else {name: identity}
    assert wrong == {}


def _words(case: dict[str, object]) -> list[str]:
    """What an id says of a switch: of one that is on; of a medium, that it fails in the trial."""
    if str(case.get("fault", "")).endswith("@medium"):
        return [] if case["kept"] else ["trial"]
    names = {"updated": "updated", "kept": "committed"}
    on = [names[key] for key, value in case.items() if value is True]
    return [] if "fault" in case and case["fault"] == "torn:superblock" else on


def test_where_there_is_no_way_on_the_record_says_so(
    both: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unable(Again):
        def lacks(self, release: Release) -> Mapping[Ability, str]:
            return {Ability.NEWER: "nobody has its sources"}

    told, promises = Told(), replace(both.new.product.promises, downgrades="refused")
    new = replace(both.new, product=replace(both.new.product, promises=promises))
    monkeypatch.setattr(plugins, "load", lambda *_, **__: Unable())
    assert replace(both, new=new).after(cast(Scenario, told)) == (both.old, new)
    assert told.left == ["new-in-the-field"]


def test_a_night_takes_a_walk_of_its_own(tmp_path: Path) -> None:
    script = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    words += ["-p", "harness.scenarios.plugin", "harness/scenarios/suite/test_walk.py"]
    seen = []
    for night in ("2026-11-27", "2026-11-28"):
        argv = [sys.executable, "-c", script, *words, "--run-folder", str(tmp_path / night)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        seen += re.findall(r"test_walk\[(seed:\d+x12)\]", done.stdout)
    assert len(seen) == 2 and seen[0] != seen[1]
