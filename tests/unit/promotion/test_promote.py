"""Promotions with real git: what is committed, where it lands, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from harness.errors import ConfigurationError, PromotionError
from harness.evidence.store import EvidenceStore, Found
from harness.promotion.promote import promote
from harness.promotion.starter import StarterPolicy, init_repository
from tests.unit.evidence.samples import record
from tests.unit.promotion.conftest import CUTS, Bench, git


def test_a_promotion_is_one_commit_that_carries_its_evidence(bench: Bench) -> None:
    before = bench.commits()
    promotion = bench.promote(bench.good())
    assert promotion.commit == git(bench.repository, "rev-parse", "main").strip()
    assert bench.commits() == before + 1
    promoted = yaml.safe_load(bench.ring())["machines"]["legacy-gateway"]
    [candidate] = promotion.candidates
    assert promoted["version"] == "1.1.0"
    assert promoted["digests"] == dict(candidate.subject.digests.items())
    assert candidate.decision is not None
    [stored] = candidate.decision.evidence
    assert promoted["evidence"] == [stored.digest]
    carried = git(bench.repository, "show", f"main:evidence/{stored.digest}.json")
    assert carried.encode() == stored.envelope
    message = git(bench.repository, "log", "-1", "--format=%B", "main")
    assert message.startswith("canary: promote legacy-gateway 1.1.0\n\nBefore: nothing.")
    assert f"Evidence: sha256:{stored.digest}" in message
    assert CUTS[0] in message


def test_promoting_the_same_again_changes_nothing(bench: Bench) -> None:
    release = bench.good()
    bench.promote(release)
    before = bench.commits()
    again = bench.promote(release)
    assert again.already
    assert str(again) == "legacy-gateway 1.1.0 is already in ring canary"
    assert bench.commits() == before


def test_an_older_version_must_be_asked_for(bench: Bench) -> None:
    bench.promote(bench.good("1.10.0"))
    older = bench.good("1.9.0")
    with pytest.raises(PromotionError, match=r"1\.9\.0 is not newer than 1\.10\.0"):
        bench.promote(older)
    [candidate] = bench.promote(older, allow_older=True).candidates
    assert candidate.previous == "1.10.0"


def test_the_same_version_with_other_content_is_refused(bench: Bench) -> None:
    release = bench.good()
    bench.promote(release)
    release.rename(bench.folder / "first")
    (bench.folder / "first" / "release.json").write_text(
        (bench.folder / "first" / "release.json").read_text() + "\n"
    )
    bench.test(bench.folder / "first", [record(name) for name in ["update", *CUTS]])
    with pytest.raises(PromotionError, match="with different content"):
        bench.promote(bench.folder / "first")


def test_other_machines_keep_what_they_have(bench: Bench) -> None:
    bench.promote(bench.good("1.1.0"))
    bench.promote(bench.good("3.0.0", "rpi4"))
    bench.promote(bench.good("1.2.0"))
    machines = yaml.safe_load(bench.ring())["machines"]
    assert {name: entry["version"] for name, entry in machines.items()} == {
        "legacy-gateway": "1.2.0",
        "rpi4": "3.0.0",
    }


def test_a_checkout_is_updated_with_its_branch(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    promotion = bench.promote(bench.good())
    assert git(bench.repository, "rev-parse", "HEAD").strip() == promotion.commit
    assert git(bench.repository, "status", "--porcelain") == ""
    assert "1.1.0" in (bench.repository / "rings" / "canary.yaml").read_text()
    assert "denyCurrentBranch" not in (bench.repository / ".git" / "config").read_text()


def test_a_checkout_with_changes_is_refused_untouched(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    policy = bench.repository / "policy.yaml"
    policy.write_text(policy.read_text() + "# mine\n")
    before = bench.commits()
    with pytest.raises(PromotionError, match="not committed") as refused:
        bench.promote(bench.good())
    assert "policy.yaml" in refused.value.details
    assert bench.commits() == before
    assert policy.read_text().endswith("# mine\n")


def test_a_url_works_as_a_path_does(bench: Bench) -> None:
    url = f"file://{bench.repository}"
    assert promote(bench.good(), ring="lab", repo=url, store=bench.store).commit


def test_the_author_is_git_s_or_the_harness(bench: Bench) -> None:
    bench.promote(bench.good("1.1.0"))
    (bench.folder / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.com\n")
    bench.promote(bench.good("1.2.0"))
    authors = git(bench.repository, "log", "-2", "--format=%an", "main").split()
    assert authors == ["Ada", "harness"]


class RacingStore(EvidenceStore):
    """Lets another promotion land while the gate is looking at the evidence."""

    def __init__(self, folder: Path, other: Path, repo: Path) -> None:
        super().__init__(folder)
        self.others = [other]
        self.repo = repo

    def find(self, *args: object) -> Found:
        if self.others:
            store = EvidenceStore(self.folder)
            promote(self.others.pop(), ring="canary", repo=str(self.repo), store=store)
        return super().find(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize("bare", [True, False])
def test_the_loser_of_a_race_starts_again_and_both_land(bench: Bench, bare: bool) -> None:
    bench.repository = bench.init("raced", bare=bare)
    other, ours = bench.good("3.0.0", "rpi4"), bench.good()
    store = RacingStore(bench.store.folder, other, bench.repository)
    promotion = promote(ours, ring="canary", repo=str(bench.repository), store=store)
    assert promotion.attempts == 2
    assert set(yaml.safe_load(bench.ring())["machines"]) == {"legacy-gateway", "rpi4"}
    assert bench.commits() == 3


def test_the_loser_is_checked_again_by_what_won(bench: Bench) -> None:
    """The other one promotes a newer version of the same machine: ours is now a step back."""
    newer, ours = bench.good("1.2.0"), bench.good("1.1.0")
    store = RacingStore(bench.store.folder, newer, bench.repository)
    with pytest.raises(PromotionError, match=r"not newer than 1\.2\.0"):
        promote(ours, ring="canary", repo=str(bench.repository), store=store)
    assert bench.commits() == 2


@pytest.mark.parametrize("bare", [True, False])
def test_many_at_once_all_land(bench: Bench, bare: bool) -> None:
    bench.repository = bench.init("raced", bare=bare)
    jobs = [
        (bench.good("1.1.0"), "lab"),
        (bench.folder / "legacy-gateway-1.1.0", "canary"),
        (bench.good("3.0.0", "rpi4"), "lab"),
        (bench.folder / "rpi4-3.0.0", "canary"),
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        promotions = list(pool.map(lambda job: bench.promote(*job), jobs))
    assert bench.commits() == 1 + len(jobs)
    assert len({promotion.commit for promotion in promotions}) == len(jobs)
    for ring in ("lab", "canary"):
        assert set(yaml.safe_load(bench.ring(ring))["machines"]) == {"legacy-gateway", "rpi4"}
    if not bare:
        assert git(bench.repository, "status", "--porcelain") == ""


def test_the_same_release_twice_at_once_is_one_promotion(bench: Bench) -> None:
    release = bench.good()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(bench.promote, [release, release])
    assert {first.already, second.already} == {True, False}
    assert bench.commits() == 2


def test_the_very_same_commit_from_two_is_one_promotion(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same content, author and second make the same commit id: git calls the push up to date."""
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2026-11-23T12:00:00Z")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-11-23T12:00:00Z")
    release = bench.good()
    store = RacingStore(bench.store.folder, release, bench.repository)
    assert promote(release, ring="canary", repo=str(bench.repository), store=store).already
    assert bench.commits() == 2


def test_no_repository_is_said_in_git_s_words(bench: Bench) -> None:
    bench.repository = bench.folder / "nowhere"
    with pytest.raises(PromotionError, match="cannot read") as refused:
        bench.promote(bench.good())
    assert "does not appear to be a git repository" in refused.value.details
    assert "check the path or URL" in refused.value.hint


def test_an_empty_repository_is_said(bench: Bench) -> None:
    git(bench.folder, "init", "--quiet", "--bare", "empty.git")
    bench.repository = bench.folder / "empty.git"
    with pytest.raises(PromotionError, match="has no commits"):
        bench.promote(bench.good())


def test_a_server_s_refusal_is_passed_on(bench: Bench) -> None:
    hook = bench.repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho only on weekdays >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PromotionError, match="cannot push") as refused:
        bench.promote(bench.good())
    assert "only on weekdays" in refused.value.details
    assert "branch protected" in refused.value.hint


def test_a_password_is_never_waited_for(bench: Bench, https_asking_for_a_password: str) -> None:
    with pytest.raises(PromotionError, match="cannot read") as refused:
        promote(bench.good(), ring="canary", repo=https_asking_for_a_password, store=bench.store)
    assert "credential helper" in refused.value.hint


def test_a_link_in_the_repository_leads_nowhere(bench: Bench) -> None:
    """A ring file that is a symbolic link must not make us write where it points."""
    bench.repository = bench.init("checkout", bare=False)
    outside = bench.folder / "outside.yaml"
    outside.write_text("machines: {}\n")
    ring = bench.repository / "rings" / "canary.yaml"
    ring.unlink()
    ring.symlink_to(outside)
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(bench.repository, *author, "commit", "--quiet", "--all", "-m", "rings: a link")
    with pytest.raises(ConfigurationError, match=r"rings/canary\.yaml"):
        bench.promote(bench.good())
    assert outside.read_text() == "machines: {}\n"


def test_an_unknown_ring_is_said(bench: Bench) -> None:
    with pytest.raises(PromotionError, match="no ring is called 'beta'"):
        bench.promote(bench.good(), "beta")


def test_nothing_is_left_in_the_temporary_folder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    bench.promote(bench.good())
    with pytest.raises(PromotionError):
        bench.promote(bench.release("1.3.0"))
    assert list(scratch.iterdir()) == []


def test_a_new_repository_is_not_made_over_something(bench: Bench) -> None:
    starter = StarterPolicy(public_pem="", machines=[])
    with pytest.raises(PromotionError, match="is not empty"):
        init_repository(bench.repository, starter)
