"""The suite's negative controls, of products that keep their promises otherwise than ours."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

import pytest

from harness import plugins
from harness.builders.builder import Ability
from harness.faults.power import CutPhase, PowerFault
from harness.judge.verdict import Verdict
from harness.product import release as releases
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.version import is_newer
from tests.unit.evidence.samples import make_release
from tests.unit.suite_module import suite_module


class Again:
    """Builds other versions by writing down which."""

    RECIPE = dict

    def lacks(self, release: Release) -> Mapping[Ability, str]:
        return {}

    def again(
        self, release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
    ) -> Release:
        return replace(release, version=version, variants=(*release.variants, *variants))

    def misdirected_artifact(self, release: Release, output: Path) -> Path:
        return output

    def strange_artifact(self, release: Release, output: Path) -> Path:
        return output

    def server_ca(self, release: Release) -> Any:
        raise BeginsError  # of what comes before the judge is asked for

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: nobody needs that here")


class BeginsError(Exception):
    """A scenario has said what it updates: that is all that is asked here."""


@dataclass
class Told:
    """A bench on which nothing runs: it notes from which version to which one a scenario leads."""

    updates: list[tuple[Release, Release]] = field(default_factory=list)
    flashed: list[Release] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def judge(self, old: Release, new: Release, *, flashed: Release | None = None) -> Any:
        self.updates.append((old, new))
        self.flashed.append(flashed or old)
        raise BeginsError

    def leave(self, invariant: str, _: str) -> None:
        self.left.append(invariant)

    def __getattr__(self, name: str) -> Any:
        return self  # whatever else is asked of it before

    def __call__(self, *_: Any) -> Any:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Also a scenario, of which nothing is recorded."""


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """Two versions of a product that refuses older ones."""
    made = []
    for version in ("1.0.0", "1.1.0"):
        make_release(tmp_path / version, version=version)
        release = releases.load(tmp_path / version)
        promises = replace(release.product.promises, downgrades="refused")
        made.append(replace(release, product=replace(release.product, promises=promises)))
    monkeypatch.setattr(plugins, "load", lambda *_, **__: Again())
    yield Releases(old=made[0], new=made[1])


def suite_controls(pytestconfig: pytest.Config) -> dict[str, Any]:
    """Those of the suite, which can be imported where its markers are known."""
    suite = suite_module(pytestconfig, "test_negative_controls")
    return cast(dict[str, Any], suite.CONTROLS)


@pytest.fixture
def controls(pytestconfig: pytest.Config) -> dict[str, Any]:
    return suite_controls(pytestconfig)


def test_no_control_asks_a_product_for_what_it_rightly_refuses(
    both: Releases, controls: dict[str, Any]
) -> None:
    """A broken version that is offered an older one refuses that, and nothing is seen of what is
    broken in it: the control would fail the whole run of a correct product."""
    back = {}
    for name, control in controls.items():
        bench = Told()
        broken = both.variant_of(both.new, *control.variants)
        with pytest.raises(BeginsError):
            control.go_through(cast(Bench, bench), both, cast(Scenario, bench), broken)
        for old, new in bench.updates:
            if new.version != old.version and not is_newer(new.version, old.version):
                back[name] = new.version
    assert back == {"newer-only-said": "1.0.0"}  # which is about just that


def test_nor_does_one_that_is_explored(both: Releases, controls: dict[str, Any]) -> None:
    suite = importlib.import_module("harness.scenarios.suite.test_crash")
    versions = {name: asked.versions(both) for name, asked in suite.CONTROLS.items()}
    back = [name for name, (old, new) in versions.items() if is_newer(old.version, new.version)]
    assert back == []


@pytest.mark.parametrize("kind", ["signed-by-stranger", "truncated", "misdirected", "older"])
def test_what_must_be_refused_is_not_refused_for_its_age(
    both: Releases, controls: dict[str, Any], kind: str
) -> None:
    suite, bench = importlib.import_module("harness.scenarios.suite.test_bad_update"), Told()
    with pytest.raises(BeginsError):
        suite.test_refused_update(bench, both, bench, kind)
    [(running, offered)] = bench.updates
    assert is_newer(offered.version, running.version) is (kind != "older")


def test_a_control_that_may_fail_for_any_reason_says_which_counts(
    controls: dict[str, Any],
) -> None:
    """Any error of the device makes a scenario `inconsistent`: a control that never came to what is
    broken in it counted as caught."""
    unsaid = [
        name
        for name, control in controls.items()
        if control.expected is Verdict.INCONSISTENT and not control.because
    ]
    assert unsaid == []


@pytest.mark.parametrize(
    ("phase", "second"),
    [("write:50%/none", "1.1.0+other"), ("write:10%/none", ""), ("switch/all", "")],
)
def test_another_artifact_is_installed_after_half_of_one(
    both: Releases, controls: dict[str, Any], phase: str, second: str
) -> None:
    """A client that goes on where it was cut, whatever it installs then, passed: it was given what
    it had begun with."""
    suite, told = importlib.import_module("harness.scenarios.suite.test_power_cut"), Told()
    fault = PowerFault.parse(phase)
    old, new = suite.between(both, cast(Scenario, told), fault.phase)
    good = suite.after_the_cut(cast(Scenario, told), fault.phase, old, new)
    assert good.version == (second or new.version)
    assert (told.left, is_newer(good.version, old.version)) == ([], True)


def test_who_cannot_make_another_version_is_told_what_was_not_tried(
    both: Releases, controls: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, told = importlib.import_module("harness.scenarios.suite.test_power_cut"), Told()
    monkeypatch.setattr(Again, "lacks", lambda *_: {Ability.NEWER: "no recipe"})
    good = suite.after_the_cut(cast(Scenario, told), CutPhase.WRITE_50, both.old, both.new)
    assert (good, told.left) == (both.new, ["another-after-the-cut"])
