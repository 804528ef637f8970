"""A ring that asks for every power cut: what lets a release in, and each way to be refused."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.crash.results.results import load
from harness.errors import PromotionError
from harness.evidence import crash
from harness.evidence.record import Record
from harness.judge.verdict import NotChecked
from harness.promotion.policy import Policy
from tests.unit.crash.samples import disagreeing, results, write_run
from tests.unit.evidence.samples import NOON
from tests.unit.promotion.conftest import Bench, git
from tests.unit.promotion.test_policy import reader


def explored(bench: Bench, content: dict[str, Any], *, minute: int = 0) -> Record:
    run = write_run(bench.folder / "run", content)
    return crash.record_of(load(run), run, NOON + timedelta(minutes=minute))


def demand(bench: Bench, asked: str = "{required: true}") -> None:
    """Change the policy: canary asks for the exploration."""
    crash_asked = yaml.safe_load(asked)
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(crash=crash_asked))


def refusal(bench: Bench, release: Path) -> str:
    with pytest.raises(PromotionError, match="is not let into ring canary") as refused:
        bench.promote(release)
    return refused.value.details


def test_a_complete_and_good_exploration_is_let_through(bench: Bench) -> None:
    release = bench.good()
    bench.test(release, [explored(bench, results())])
    demand(bench)
    [candidate] = bench.promote(release).candidates
    assert candidate.decision is not None
    assert "crash" in candidate.decision.required
    message = git(bench.repository, "log", "-1", "--format=%B", "main")
    assert "power cuts, explored: " in message
    assert "0 bricked, 0 inconsistent of 9,315 cut points, 18 booted" in message


def test_an_exploration_that_could_not_look_is_not_enough_where_that_is_asked(bench: Bench) -> None:
    release = bench.good()
    left = (NotChecked(name="slot-content", why="no oracle"),)
    bench.test(release, [replace(explored(bench, results()), not_checked=left)])
    demand(bench)

    def ask(*names: str) -> None:
        bench.change_policy(lambda policy: policy["rings"]["canary"].update(checked=names))

    ask("slot-content")
    assert "missing: crash: slot-content was not checked: no oracle" in refusal(bench, release)
    ask("boot-selection")
    assert "missing: crash" not in refusal(bench, release)
    ask()
    assert bench.promote(release).commit


def test_without_an_exploration_it_is_missing(bench: Bench) -> None:
    release = bench.good()
    demand(bench)
    assert (
        "missing: crash: no evidence for these digests (keep one: harness crash report"
        in refusal(bench, release)
    )


def test_nobody_asked(bench: Bench) -> None:
    """Negative control: what `demand` changes is what refuses."""
    bench.promote(bench.good())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (results(open_end=True), "4,233 cut points are undecided"),
        ({**results(), "complete": False}, "ended before it was complete"),
        (disagreeing(results(), "new new"), "states came out otherwise"),
    ],
)
def test_what_is_not_proven_is_missing_until_it_is(
    bench: Bench, content: dict[str, Any], told: str
) -> None:
    release = bench.good()
    bench.test(release, [explored(bench, content)])
    demand(bench)
    lines = refusal(bench, release)
    assert "missing: crash: " in lines
    assert told in lines
    bench.test(release, [explored(bench, results(), minute=1)])
    bench.promote(release)


@pytest.mark.parametrize("good_is_newer", [True, False])
@pytest.mark.parametrize("oldest_boot", [-60, 0, 60])  # minutes after that of the other one
def test_the_newest_exploration_decides_whatever_it_took_from_others(
    bench: Bench, good_is_newer: bool, oldest_boot: int
) -> None:
    """Boots of other recordings make it older, and not the other one newer."""
    release = bench.good()
    demand(bench)
    good, open_end = results(), results(open_end=True)
    old, new = (open_end, good) if good_is_newer else (good, open_end)
    begun = NOON + timedelta(minutes=90)
    bench.test(release, [explored(bench, new, minute=oldest_boot)], begun=begun)
    begun -= timedelta(seconds=1)
    bench.test(release, [explored(bench, old)], begun=begun)
    if good_is_newer:
        bench.promote(release)
    else:
        assert "missing: crash: " in refusal(bench, release)


def test_an_exploration_of_a_day_to_come_does_not_count(bench: Bench) -> None:
    """It would be the newest one until then."""
    release = bench.good()
    demand(bench)
    tomorrow = NOON + timedelta(days=1)
    bench.test(release, [explored(bench, results())], begun=tomorrow)
    assert "does not count: it begins on a day that is still to come" in refusal(bench, release)
    bench.test(release, [explored(bench, results())])
    bench.promote(release)


def test_a_bad_cut_point_is_final_though_nobody_asked(bench: Bench) -> None:
    release = bench.good()
    bench.test(release, [explored(bench, results(bad=True))])
    bench.test(release, [explored(bench, results(), minute=1)])
    lines = refusal(bench, release)
    assert "failed: crash: bricked" in lines
    assert "4 bricked, 1 inconsistent of 9,320 cut points" in lines
    assert "again: ./run harness crash report " in lines


def test_too_few_cut_points_are_told(bench: Bench) -> None:
    release = bench.good()
    bench.test(release, [explored(bench, results())])
    demand(bench, "{required: true, cut_points: 10000}")
    assert "missing: crash: 9,315 cut points of at least 10,000" in refusal(bench, release)


def test_it_can_be_all_that_a_ring_asks_for(tmp_path: Path) -> None:
    key = (
        "-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    )
    (tmp_path / "policy.yaml").write_text(
        f'schema: 1\nkeys: {{one: {{pem: "{key}\\n-----END PUBLIC KEY-----\\n"}}}}\n'
        "rings:\n  lab: {machines: [m], evidence_keys: [one], crash: {required: true}}\n"
    )
    asked = next(iter(Policy.load(reader(tmp_path)).rings.values())).crash
    assert asked is not None
    assert asked.required
