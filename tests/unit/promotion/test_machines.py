"""Promotions of several machines: one commit, and who may go without the others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.errors import ConfigurationError, PromotionError
from harness.evidence.store import EvidenceStore, Found
from harness.judge.verdict import Verdict
from harness.promotion.promote import promote
from tests.unit.evidence.samples import record
from tests.unit.promotion.conftest import Bench, git


@pytest.fixture
def strict(bench: Bench) -> Bench:
    """A bench whose policy keeps all machines of a ring at one version."""
    bench.repository = bench.init("strict", bare=True, partial=False)
    return bench


def versions(bench: Bench, ring: str = "canary") -> dict[str, str]:
    machines = yaml.safe_load(bench.ring(ring))["machines"]
    return {name: entry["version"] for name, entry in machines.items()}


def message(bench: Bench) -> str:
    return git(bench.repository, "log", "-1", "--format=%B", "main")


def both(bench: Bench, version: str = "1.1.0") -> tuple[Path, Path]:
    return bench.good(version), bench.good(version, "rpi4")


def broken(bench: Bench, version: str = "1.1.0") -> Path:
    """A release for rpi4 that bricked a board."""
    release = bench.good(version, "rpi4")
    bench.test(release, [record("network[stall]", Verdict.BRICKED, machine="rpi4")])
    return release


def test_two_machines_are_one_commit_with_an_entry_each(strict: Bench) -> None:
    before = strict.commits()
    promotion = strict.promote_all(*both(strict))
    assert strict.commits() == before + 1
    assert versions(strict) == {"legacy-gateway": "1.1.0", "rpi4": "1.1.0"}
    entries = yaml.safe_load(strict.ring())["machines"]
    for candidate in promotion.candidates:
        assert candidate.decision is not None
        evidence = [stored.digest for stored in candidate.decision.evidence]
        assert entries[candidate.subject.machine]["evidence"] == evidence
        assert f"Evidence: sha256:{evidence[0]}" in message(strict)
        assert git(strict.repository, "show", f"main:evidence/{evidence[0]}.json")
    assert message(strict).startswith("canary: promote legacy-gateway 1.1.0, rpi4 1.1.0\n")
    assert str(promotion).count("promoted to ring canary in commit") == 2


def test_a_machine_alone_is_refused_and_told_who_is_missing(strict: Bench) -> None:
    gateway, pi = both(strict)
    with pytest.raises(PromotionError, match="is not let into ring canary alone") as refused:
        strict.promote(gateway)
    told = "missing: rpi4: ring canary has nothing for it, and no 1.1.0 is named"
    assert refused.value.details.strip() == told
    assert "rings.canary.partial: true" in refused.value.hint
    assert strict.commits() == 1
    assert strict.promote_all(pi, gateway).commit


def test_a_machine_may_follow_one_that_the_ring_has_at_this_version(bench: Bench) -> None:
    """The policy was partial when the first went in, and is not any more."""
    gateway, pi = both(bench)
    bench.repository = bench.init("checkout", bare=False)
    bench.promote(gateway)
    policy = bench.repository / "policy.yaml"
    policy.write_text(policy.read_text().replace("partial: true", "partial: false"))
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(bench.repository, *author, "commit", "--quiet", "--all", "-m", "policy: all together")
    assert bench.promote(gateway).already
    with pytest.raises(PromotionError, match="alone") as refused:
        bench.promote(bench.good("1.2.0", "rpi4"))
    assert "legacy-gateway: ring canary has 1.1.0 for it" in refused.value.details
    assert bench.promote(pi).commit


def test_one_of_two_refused_keeps_both_out(strict: Bench) -> None:
    with pytest.raises(PromotionError, match="nothing was changed") as refused:
        strict.promote_all(strict.good(), broken(strict))
    assert refused.value.details.splitlines()[0] == "rpi4 1.1.0 is not let into ring canary"
    assert "  failed: network[stall]: bricked" in refused.value.details
    assert "legacy-gateway 1.1.0: nothing is in its way" in refused.value.details
    assert strict.commits() == 1


def test_what_is_wrong_with_a_machine_and_who_is_missing_come_at_once(strict: Bench) -> None:
    with pytest.raises(PromotionError) as refused:
        strict.promote(broken(strict))
    assert "failed: network[stall]" in refused.value.details
    assert "missing: legacy-gateway: ring canary has nothing for it" in refused.value.details


def test_partial_lets_in_who_passed_and_says_who_did_not(bench: Bench) -> None:
    promotion = bench.promote_all(bench.good(), broken(bench))
    assert versions(bench) == {"legacy-gateway": "1.1.0"}
    assert bench.commits() == 2
    assert message(bench).startswith("canary: promote legacy-gateway 1.1.0\n")
    assert "Not promoted, as the policy lets machines go alone: rpi4 1.1.0" in message(bench)
    assert "failed: network[stall]: bricked" in message(bench)
    assert "legacy-gateway 1.1.0 promoted to ring canary" in str(promotion)
    assert "rpi4 1.1.0 not promoted" in str(promotion)
    refusal = promotion.refusal
    assert refusal is not None
    assert "rpi4 1.1.0 not let into ring canary; promoted in commit" in refusal.brief
    assert "failed: network[stall]: bricked" in refusal.details


def test_partial_with_nobody_let_in_changes_nothing(bench: Bench) -> None:
    with pytest.raises(PromotionError, match="nothing was changed") as refused:
        bench.promote_all(bench.release(), broken(bench))
    assert "failed: network[stall]" in refused.value.details
    assert "missing: update: no evidence for these digests" in refused.value.details
    assert bench.commits() == 1


def test_what_the_ring_has_already_stays_and_the_other_joins(bench: Bench) -> None:
    gateway, pi = both(bench)
    bench.promote(gateway)
    promotion = bench.promote_all(gateway, pi)
    assert [candidate.already for candidate in promotion.candidates] == [True, False]
    assert message(bench).startswith("canary: promote rpi4 1.1.0\n")
    assert promotion.refusal is None
    again = bench.promote_all(gateway, pi)
    assert again.already
    assert str(again).count("is already in ring canary") == 2


def test_a_step_back_is_asked_for_all_machines(strict: Bench) -> None:
    strict.promote_all(*both(strict, "1.2.0"))
    older = both(strict, "1.1.0")
    with pytest.raises(PromotionError, match="nothing was changed") as refused:
        strict.promote_all(*older)
    assert "legacy-gateway 1.1.0 is not newer than 1.2.0" in refused.value.details
    assert "rpi4 1.1.0 is not newer than 1.2.0" in refused.value.details
    strict.promote_all(*older, allow_older=True)
    assert set(versions(strict).values()) == {"1.1.0"}


def test_one_version_and_one_release_a_machine(strict: Bench) -> None:
    releases = strict.good(), strict.good("1.2.0"), strict.good("1.1.0", "rpi4")
    with pytest.raises(ConfigurationError) as refused:
        strict.promote_all(*releases)
    assert refused.value.details.splitlines() == [
        "  - 2 releases are for legacy-gateway: name one",
        "  - one promotion is one version of all machines, not "
        "legacy-gateway 1.1.0, legacy-gateway 1.2.0, rpi4 1.1.0",
    ]


class RacingStore(EvidenceStore):
    """Lets another promotion of both machines land while the gate looks at the evidence."""

    def __init__(self, bench: Bench, *others: Path) -> None:
        super().__init__(bench.store.folder)
        self.bench = bench
        self.others = others

    def find(self, *args: object) -> Found:
        others, self.others = self.others, ()
        if others:
            self.bench.promote_all(*others)
        return super().find(*args)  # type: ignore[arg-type]


def test_the_loser_of_a_race_is_checked_again_for_all_machines(strict: Bench) -> None:
    ours, newer = both(strict, "1.1.0"), both(strict, "1.2.0")
    store = RacingStore(strict, *newer)
    with pytest.raises(PromotionError, match="nothing was changed") as refused:
        promote(*ours, ring="canary", repo=str(strict.repository), store=store)
    assert "rpi4 1.1.0 is not newer than 1.2.0" in refused.value.details
    assert set(versions(strict).values()) == {"1.2.0"}


def test_the_very_same_race_is_one_promotion(strict: Bench) -> None:
    ours = both(strict)
    store = RacingStore(strict, *ours)
    done = promote(*ours, ring="canary", repo=str(strict.repository), store=store)
    assert done.already
    assert strict.commits() == 2


def test_the_command_tells_who_went_in_and_ends_with_5_when_not_all_did(bench: Bench) -> None:
    words = ["promote", str(bench.good()), str(broken(bench)), "--ring", "canary", "--json"]
    words += ["--repo", str(bench.repository), "--store", str(bench.store.folder)]
    done = subprocess.run(
        [Path(sys.executable).with_name("harness"), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    machines = json.loads(done.stdout)["machines"]
    assert [(each["machine"], each["promoted"]) for each in machines] == [
        ("legacy-gateway", True),
        ("rpi4", False),
    ]
    assert "failed: network[stall]: bricked" in machines[1]["refused"][0]
    assert "promotion refused: rpi4 1.1.0 not let into ring canary; promoted" in done.stderr
