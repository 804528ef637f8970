"""The gate refuses, and says why; each test has the good release as its control."""

import pytest
import yaml
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.errors import ConfigurationError, PromotionError
from harness.evidence import signing
from harness.evidence.subject import Subject
from harness.judge.verdict import Invariant, Verdict
from harness.product.release import load
from tests.unit.evidence.samples import make_release, record
from tests.unit.promotion.conftest import CUTS, Bench, git


def refusal(bench: Bench, version: str = "1.1.0", ring: str = "canary") -> str:
    """Why the release of this version is refused; nothing must have changed."""
    before = bench.commits()
    with pytest.raises(PromotionError, match="is not let into ring") as refused:
        bench.promote(bench.folder / f"legacy-gateway-{version}", ring)
    assert bench.commits() == before
    return refused.value.details


def test_good_evidence_is_let_through(bench: Bench) -> None:
    [candidate] = bench.promote(bench.good()).candidates
    assert candidate.decision is not None
    assert candidate.decision.required == (*sorted(CUTS), "update")


def test_without_evidence_everything_is_missing(bench: Bench) -> None:
    bench.release()
    assert refusal(bench).splitlines() == [
        "  missing: update: no evidence for these digests",
        "  missing: power-cut[*]: 0 of at least 2 passed",
    ]


def test_what_is_missing_is_listed_exactly(bench: Bench) -> None:
    release = bench.release()
    bench.test(release, [record(CUTS[0]), record(CUTS[1], None)])
    assert refusal(bench).splitlines() == [
        "  missing: update: no evidence for these digests",
        "  missing: power-cut[*]: 1 of at least 2 passed; not passed: "
        f"{CUTS[1]} (lab trouble: QEMU ended with exit code 1)",
    ]


def test_evidence_may_come_from_several_runs(bench: Bench) -> None:
    release = bench.release()
    bench.test(release, [record()])
    bench.test(release, [record(CUTS[0])])
    bench.test(release, [record(CUTS[1])])
    [candidate] = bench.promote(release).candidates
    assert candidate.decision is not None
    assert len(candidate.decision.evidence) == 3


@pytest.mark.parametrize("verdict", [Verdict.BRICKED, Verdict.INCONSISTENT])
def test_a_bricked_device_refuses_though_nobody_asked_for_the_scenario(
    bench: Bench, verdict: Verdict
) -> None:
    bench.test(bench.good(), [record("bad-update[no-init]", verdict)])
    told = refusal(bench)
    assert f"failed: bad-update[no-init]: {verdict}, expected new or old" in told
    assert "./run harness test --scenario 'bad-update[no-init]'" in told


def test_a_failure_is_not_forgiven_by_running_again(bench: Bench) -> None:
    release = bench.release()
    broken = (Invariant(name="data partition unchanged", holds=False),)
    bench.test(release, [record(minute=1, invariants=broken)])
    bench.test(release, [record(name, minute=2) for name in ["update", *CUTS]])
    assert "failed: update: data partition unchanged does not hold" in refusal(bench)


def test_lab_trouble_is_forgiven_by_a_later_pass(bench: Bench) -> None:
    release = bench.release()
    bench.test(release, [record("update", None, minute=1)])
    bench.test(release, [record(name, minute=2) for name in ["update", *CUTS]])
    assert bench.promote(release).commit


def test_lab_trouble_after_a_pass_is_missing_again(bench: Bench) -> None:
    bench.test(bench.good(), [record("update", None, minute=5)])
    assert refusal(bench).strip().startswith("missing: update: lab trouble")


def test_evidence_for_other_digests_does_not_count(bench: Bench) -> None:
    make_release(bench.folder / "rebuilt", content="rebuilt")
    bench.test(bench.folder / "rebuilt", [record(name) for name in ["update", *CUTS]])
    bench.release()
    told = refusal(bench)
    assert "missing: update: no evidence for these digests" in told
    assert "tested another 1.1.0: its release, disk, artifact, slot differ" in told


def test_a_stranger_s_evidence_does_not_count_and_is_mentioned(bench: Bench) -> None:
    release = bench.release()
    records = [record(name) for name in ["update", *CUTS]]
    bench.test(release, records, CryptoSigner.generate_ed25519())
    told = refusal(bench)
    assert "missing: update" in told
    assert "signed by a key that is not trusted" in told


def test_a_key_counts_only_in_the_rings_that_list_it(bench: Bench) -> None:
    """canary believes the bench's key too; fleet believes only CI's."""
    bench.repository = bench.init("checkout", bare=False)
    ci = CryptoSigner.generate_ed25519()
    (bench.repository / "keys" / "ci.pem").write_text(signing.public_pem(ci))
    file = bench.repository / "policy.yaml"
    policy = yaml.safe_load(file.read_text())
    policy["keys"]["ci"] = {"file": "keys/ci.pem"}
    policy["rings"]["fleet"]["evidence_keys"] = ["ci"]
    file.write_text(yaml.safe_dump(policy))
    git(bench.repository, "add", "--all")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(bench.repository, *author, "commit", "--quiet", "-m", "policy: fleet believes CI only")

    bench.promote(bench.good(), "canary")
    told = refusal(bench, ring="fleet")
    assert "missing: update: no evidence" in told
    assert "signed by a key that is not trusted" in told
    release = bench.folder / "legacy-gateway-1.1.0"
    bench.test(release, [record(name) for name in ["update", *CUTS]], ci)
    assert bench.promote(release, "fleet").commit


def test_a_stranger_stands_in_nobody_s_way(bench: Bench) -> None:
    bench.test(bench.good(), [record()], CryptoSigner.generate_ed25519())
    assert bench.promote(bench.folder / "legacy-gateway-1.1.0").commit


def test_tampered_evidence_refuses(bench: Bench) -> None:
    stored = bench.test(bench.good(), [record("more")])
    file = stored.folder / "evidence.json"
    file.write_text(file.read_text().replace('"boots": 2', '"boots": 1'))
    assert "differs from what was signed" in refusal(bench)


def test_an_unfinished_run_can_refuse_but_not_allow(bench: Bench) -> None:
    release = bench.release()
    subject = Subject.of(load(release))
    run = bench.store.begin(subject, from_release=None, board="b", lab="l", tools={})
    for name in ["update", *CUTS]:
        run.add(record(name))
    assert "missing: update: no evidence" in refusal(bench)
    run.add(record("network[stall]", Verdict.BRICKED))
    assert "failed: network[stall]: bricked" in refusal(bench)


def test_a_file_changed_after_the_test_is_named(bench: Bench) -> None:
    release = bench.good()
    (release / "update.mender").write_text("something else")
    with pytest.raises(ConfigurationError) as refused:
        bench.promote(release)
    assert "update.mender: content is not what release.json says" in refused.value.details


def test_a_changed_file_with_a_fitting_release_json_has_no_evidence(bench: Bench) -> None:
    release = bench.good()
    for file in release.iterdir():
        file.unlink()
    release.rmdir()
    make_release(release, content="changed")
    assert "missing: update: no evidence for these digests" in refusal(bench)


def test_fleet_wants_exactly_this_release_in_canary_first(bench: Bench) -> None:
    release = bench.good()
    assert "ring canary: must hold exactly this release first" in refusal(bench, ring="fleet")
    bench.promote(release, "canary")
    assert bench.promote(release, "fleet").commit


def test_a_machine_that_the_ring_is_not_for(bench: Bench) -> None:
    release = bench.good(machine="toaster")
    with pytest.raises(PromotionError) as refused:
        bench.promote(release)
    assert "ring canary is not for machine toaster" in refused.value.details
