"""The release repository and what stands around it: hooks, filters, links, locks, late answers."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness import log
from harness.errors import ConfigurationError, HarnessError, LabError, PromotionError
from harness.promotion import lock
from harness.promotion.git import failed
from harness.promotion.promote import promote
from harness.promotion.repository import cloned
from tests.unit.promotion.conftest import Bench, commit, git

EVIL = "\x1b]0;owned\x07"


def held(bench: Bench) -> dict[str, str]:
    machines = yaml.safe_load(bench.ring())["machines"]
    return {name: entry["version"] for name, entry in machines.items()}


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def global_config(bench: Bench, text: str) -> None:
    (bench.folder / ".gitconfig").write_text(text)


def test_a_checkout_without_a_branch_is_refused(bench: Bench) -> None:
    """Git would guess which branch is meant."""
    bench.repository = bench.init("checkout", bare=False)
    git(bench.repository, "switch", "--quiet", "--detach")
    with pytest.raises(PromotionError, match="its HEAD names no branch"):
        bench.promote(bench.good())
    assert bench.commits() == 1
    git(bench.repository, "switch", "--quiet", "main")
    assert bench.promote(bench.folder / "legacy-gateway-1.1.0").commit


def test_a_head_that_names_a_branch_without_commits(bench: Bench) -> None:
    git(bench.repository, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    with pytest.raises(PromotionError, match="has no commits"):
        bench.promote(bench.good())


@pytest.mark.parametrize("place", ["rings", "evidence", "rings/canary.yaml"])
def test_a_submodule_in_the_place_of_files_is_refused(bench: Bench, place: str) -> None:
    bench.repository = bench.init("checkout", bare=False)
    git(bench.folder, "init", "--quiet", "other")
    (bench.folder / "other/x").write_text("x")
    commit(bench.folder / "other", "x")
    tip = git(bench.folder / "other", "rev-parse", "HEAD").strip()
    git(bench.repository, "rm", "-r", "--quiet", "--ignore-unmatch", place)
    git(bench.repository, "update-index", "--add", "--cacheinfo", f"160000,{tip},{place}")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(bench.repository, *author, "commit", "--quiet", "-m", "a submodule")
    with pytest.raises((PromotionError, ConfigurationError)) as refused:
        bench.promote(bench.good())
    assert place in str(refused.value)
    assert bench.commits() == 2


@pytest.mark.parametrize("hook", ["pre-commit", "commit-msg", "post-commit", "pre-push"])
@pytest.mark.parametrize("by", ["core.hooksPath", "init.templateDir"])
def test_nobody_s_hooks_change_what_is_committed(bench: Bench, hook: str, by: str) -> None:
    folder = bench.folder / "template"
    script(folder / "hooks" / hook, f"touch {bench.folder}/ran; echo changed > rings/canary.yaml")
    value = folder / "hooks" if by == "core.hooksPath" else folder
    section, name = by.split(".")
    global_config(bench, f"[{section}]\n{name} = {value}\n")
    bench.promote(bench.good())
    assert held(bench) == {"legacy-gateway": "1.1.0"}
    assert not (bench.folder / "ran").exists()


def test_nobody_s_filters_change_what_is_read_or_committed(bench: Bench) -> None:
    """Line endings, and a filter that the repository asks for and the user has."""
    bench.repository = bench.init("checkout", bare=False)
    (bench.repository / ".gitattributes").write_text("*.yaml filter=spoil\n*.json eol=crlf\n")
    commit(bench.repository, "attributes: all")
    spoil = '[filter "spoil"]\nclean = sed s/1.1.0/6.6.6/\nsmudge = sed s/update/nothing/\n'
    global_config(bench, f"{spoil}[core]\nautocrlf = true\n")
    [candidate] = bench.promote(bench.good()).candidates
    assert held(bench) == {"legacy-gateway": "1.1.0"}
    assert candidate.decision is not None
    [stored] = candidate.decision.evidence
    carried = subprocess.run(
        ["git", "-C", bench.repository, "show", f"main:evidence/{stored.digest}.json"],
        check=True, capture_output=True, timeout=30,
    ).stdout  # fmt: skip
    assert carried == stored.envelope


def test_a_policy_that_is_too_large_is_not_read(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    with (bench.repository / "policy.yaml").open("a") as file:
        file.write("#" * (2 << 20))
    commit(bench.repository, "policy: large")
    with pytest.raises(ConfigurationError, match=r"policy\.yaml: larger than"):
        bench.promote(bench.good())


@pytest.mark.parametrize("name", ["policy.yaml", "rings/canary.yaml", "keys/development.pem"])
def test_a_file_that_is_no_text_is_named(bench: Bench, name: str) -> None:
    bench.repository = bench.init("checkout", bare=False)
    (bench.repository / name).write_bytes(b"\xff\xfe\x00")
    commit(bench.repository, "spoilt")
    with pytest.raises(ConfigurationError) as refused:
        bench.promote(bench.good())
    assert name in str(refused.value)


def test_a_push_whose_answer_never_came_has_promoted(bench: Bench) -> None:
    """The server took it and died: git calls that a failure."""
    script(bench.repository / "hooks/post-receive", "kill -9 $PPID")
    promotion = bench.promote(bench.good())
    assert promotion.commit == git(bench.repository, "rev-parse", "main").strip()


def pushed(bench: Bench, seconds: float) -> bool:
    with cloned(str(bench.repository), seconds=seconds) as repository:
        repository.refresh()
        repository.write("rings/canary.yaml", b"machines: {}\n# changed\n")
        repository.commit("changed")
        return repository.push()


def test_a_push_whose_answer_is_late_is_looked_for(bench: Bench) -> None:
    script(bench.repository / "hooks/post-receive", "sleep 60")
    assert pushed(bench, seconds=4)
    assert bench.ring().endswith("# changed\n")


def test_a_push_that_has_not_arrived_says_what_is_there(bench: Bench) -> None:
    script(bench.repository / "hooks/pre-receive", "sleep 60")
    with pytest.raises(PromotionError, match="took longer than") as refused:
        pushed(bench, seconds=4)
    tip = git(bench.repository, "rev-parse", "main")[:12]
    assert f"the ring was not changed: main is at {tip}" in refused.value.hint


def test_a_server_that_drops_what_it_took_is_not_believed(bench: Bench) -> None:
    first = git(bench.repository, "rev-parse", "main").strip()
    script(bench.repository / "hooks/post-receive", f"git update-ref refs/heads/main {first}")
    with pytest.raises(PromotionError, match="took the push, and does not hold it"):
        bench.promote(bench.good())


def test_what_a_server_says_steers_no_terminal(bench: Bench) -> None:
    script(bench.repository / "hooks/pre-receive", "printf '\\033]0;owned\\007' >&2; exit 1")
    with pytest.raises(PromotionError, match="cannot push") as refused:
        bench.promote(bench.good())
    assert EVIL not in str(refused.value)
    assert "\\x1b]0;owned\\x07" in refused.value.details


def test_a_lock_that_is_a_link_leads_nowhere(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    target = bench.folder / "precious"
    target.write_text("precious")
    (bench.repository / ".git" / lock.NAME).symlink_to(target)
    with pytest.raises(PromotionError, match=lock.NAME):
        bench.promote(bench.good())
    assert target.read_text() == "precious"
    assert bench.commits() == 1


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / lock.NAME)
    with pytest.raises(PromotionError, match=lock.NAME), lock.held(tmp_path, seconds=1):
        pass


def test_a_lock_that_another_holds_is_waited_for_and_told(tmp_path: Path) -> None:
    events: list[log.Event] = []
    with (tmp_path / lock.NAME).open("w") as other, log.sink(events.append):
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        told = "held by another process for more than 0.2 s"
        with pytest.raises(PromotionError, match=re.escape(told)), lock.held(tmp_path, seconds=0.2):
            pass
        assert time.monotonic() - began < 10
        assert events[0]["step"] == "wait for another promotion"
        fcntl.flock(other, fcntl.LOCK_UN)
        with lock.held(tmp_path, seconds=0):
            pass


def test_credentials_of_a_url_are_nowhere(bench: Bench, https_asking_for_a_password: str) -> None:
    """Not in the error, the events, what --verbose shows, or a file that is left."""
    url = https_asking_for_a_password.replace("http://", "http://ci:TOKEN@")
    events = bench.folder / "events.jsonl"
    words = ["--verbose", "--events", str(events), "promote", str(bench.good())]
    words += ["--ring", "canary", "--repo", url, "--store", str(bench.store.folder)]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "http://***@127.0.0.1" in done.stderr
    assert "TOKEN" not in done.stdout + done.stderr + events.read_text()


def test_credentials_are_on_no_disk_while_it_works(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    url = f"file://{bench.repository}"
    with cloned(url) as repository:
        repository.refresh()
        files = [path for path in scratch.rglob("*") if path.is_file()]
        assert any(path.name == "FETCH_HEAD" for path in files)
        config = [path for path in files if path.name == "config"]
        assert config and not any("url" in path.read_text() for path in config)


def test_a_push_that_nobody_else_has_won_is_told_in_git_s_words(bench: Bench) -> None:
    """A lock that a killed git has left is no race."""
    release, place = bench.good(), bench.repository / "refs/heads/main.lock"
    place.touch()
    pushes = bench.folder / "pushes"
    script(bench.repository / "hooks/pre-receive", f"echo x >> {pushes}")
    with pytest.raises(PromotionError, match="cannot push to") as refused:
        bench.promote(release)
    assert "cannot lock ref" in refused.value.details
    assert "main has not moved" in refused.value.hint
    assert "delete it" in refused.value.hint
    assert len(pushes.read_text().split()) == 3
    place.unlink()
    assert bench.promote(release).commit


def test_a_lock_that_goes_away_is_a_race(bench: Bench) -> None:
    """Another push may be at work for a while: ours is lost once, and made again."""
    lock_of_another = bench.repository / "refs/heads/main.lock"
    seen = bench.folder / "seen"
    script(
        bench.repository / "hooks/pre-receive",
        f"[ -e {seen} ] && rm -f {lock_of_another}; touch {seen}",
    )
    lock_of_another.touch()
    assert bench.promote(bench.good()).attempts == 2


def test_the_git_folder_of_a_checkout_is_told_from_the_checkout(bench: Bench) -> None:
    checkout = bench.init("checkout", bare=False)
    bench.repository = checkout / ".git"
    with pytest.raises(ConfigurationError, match=r"\.git: is the git folder") as refused:
        bench.promote(bench.good())
    assert refused.value.hint == f"name the checkout itself: {checkout}"


def test_a_lock_of_git_in_a_checkout_is_named(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    stale, release = bench.repository / ".git/index.lock", bench.good()
    stale.touch()
    with pytest.raises(PromotionError, match=r"\.git/index\.lock: a git is at work"):
        bench.promote(release)
    stale.unlink()
    assert bench.promote(release).commit


def test_evidence_that_lies_in_a_checkout_is_told(bench: Bench) -> None:
    bench.repository = bench.init("checkout", bare=False)
    release = bench.good()
    for file in bench.store.folder.glob("*/*/*/evidence.dsse.json"):
        name = hashlib.sha256(file.read_bytes()).hexdigest()
        (bench.repository / "evidence").mkdir(exist_ok=True)
        shutil.copy(file, bench.repository / f"evidence/{name}.json")
    with pytest.raises(PromotionError, match="cannot push") as refused:
        bench.promote(release)
    assert "move them away" in refused.value.hint


def test_promotions_go_on_top_of_each_other(bench: Bench) -> None:
    """Control of the reading back: a tip that has gone on since holds the commit all the same."""
    hook = bench.repository / "hooks/post-receive"
    script(
        hook,
        "export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a\n"
        "git update-ref refs/heads/main $(git commit-tree -p main -m more 'main^{tree}')",
    )
    promotion = promote(bench.good(), ring="canary", repo=str(bench.repository), store=bench.store)
    assert promotion.commit == git(bench.repository, "rev-parse", "main~1").strip()


# Zeros take no room in a history, and all of memory when they are read; the other is no YAML.
ODD_RINGS = {"huge": bytes(80 << 20), "odd": b"machines: " + b":".join([b"1"] * 300) + b".5\n"}


@pytest.mark.parametrize("odd", ODD_RINGS)
def test_what_a_ring_once_was_is_in_nobody_s_way(bench: Bench, odd: str) -> None:
    release, ring = bench.good(), bench.init("work", bare=False) / "rings/canary.yaml"
    bench.repository = ring.parents[1]
    for content in (ODD_RINGS[odd], ring.read_bytes()):
        ring.write_bytes(content)
        commit(bench.repository, "another ring")
    bench.promote(release)
    assert held(bench) == {"legacy-gateway": "1.1.0"}


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("fatal: write error: No space left on device", LabError),
        ("error: unable to create temporary file: Read-only file system", LabError),
        ("remote: fatal: No space left on device\nerror: failed to push", PromotionError),
        ("fatal: couldn't find remote ref", PromotionError),
    ],
)
def test_what_this_machine_is_short_of_is_no_refusal(told: str, kind: type[HarnessError]) -> None:
    assert type(failed("git fetch failed", told)) is kind
