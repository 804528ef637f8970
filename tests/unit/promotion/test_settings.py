"""Git, whatever whoever promotes has configured: no program of theirs runs, but those one wants."""

import os
import re
from pathlib import Path

import pytest

from harness.errors import ConfigurationError, PromotionError
from harness.promotion.promote import promote
from tests.unit.promotion.conftest import Bench, commit, git
from tests.unit.promotion.test_repository import global_config, held, script

PROGRAMS = (  # that a configuration can name, and that commands of a promotion would run
    "core.fsmonitor",
    "core.alternateRefsCommand",
    "core.gitProxy",
    "core.pager",
    "core.editor",
    "diff.external",
    "filter.spoil.clean",
    "filter.spoil.smudge",
    "filter.a=b.smudge",
    "gpg.program",
    "remote.origin.receivepack",
    "remote.origin.uploadpack",
    "uploadpack.packObjectsHook",
)


def config(bench: Bench, file: Path) -> None:
    """A configuration whose every program leaves its name behind; `ran` tells which."""
    for name in PROGRAMS:
        program = script(bench.folder / "programs" / name, f"echo {name} >> {bench.folder}/ran")
        git(bench.folder, "config", "--file", str(file), name, str(program))
    for name in ("filter.spoil.required", "log.showSignature"):
        git(bench.folder, "config", "--file", str(file), name, "true")


def ran(bench: Bench) -> list[str]:
    file = bench.folder / "ran"
    return sorted(set(file.read_text().split())) if file.exists() else []


def checkout(bench: Bench) -> Path:
    """One with attributes, whose files look changed until they are compared."""
    bench.repository = bench.init("checkout", bare=False)
    attributes = "rings/*.yaml filter=spoil\nevidence/* filter=a=b\n"
    (bench.repository / ".gitattributes").write_text(attributes)
    commit(bench.repository, "attributes: all")
    os.utime(bench.repository / "rings/canary.yaml", (1, 1))
    return bench.repository


@pytest.mark.parametrize("bare", [True, False])
def test_no_program_that_somebody_s_configuration_names_is_run(bench: Bench, bare: bool) -> None:
    release = bench.good()
    if not bare:
        checkout(bench)
    config(bench, bench.folder / ".gitconfig")
    bench.promote(release)
    assert ran(bench) == []
    assert held(bench) == {"legacy-gateway": "1.1.0"}


def test_nor_one_that_the_checkout_s_own_configuration_names(bench: Bench) -> None:
    release = bench.good()
    config(bench, checkout(bench) / ".git/config")
    bench.promote(release)
    assert ran(bench) == []
    assert held(bench) == {"legacy-gateway": "1.1.0"}
    assert "1.1.0" in (bench.repository / "rings/canary.yaml").read_text()


@pytest.mark.parametrize("by", ["GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL"])
def test_nor_one_that_the_environment_names(
    bench: Bench, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = bench.good()
    checkout(bench)
    config(bench, bench.folder / "theirs")
    program = bench.folder / "programs/core.fsmonitor"
    if by == "GIT_CONFIG_COUNT":
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(program))
    values = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_GLOBAL": str(bench.folder / "theirs")}
    monkeypatch.setenv(by, values.get(by, f"'core.fsmonitor'='{program}'"))
    bench.promote(release)
    assert ran(bench) == []


def test_a_url_does_not_become_a_program(bench: Bench) -> None:
    program = script(bench.folder / "programs/ext", f"echo ext >> {bench.folder}/ran")
    text = f'[url "ext::{program} "]\ninsteadOf = https://\n[protocol]\nallow = always\n'
    global_config(bench, f'{text}[protocol "ext"]\nallow = always\n')
    with pytest.raises(PromotionError, match="cannot read"):
        promote(bench.good(), ring="canary", repo="https://host/r.git", store=bench.store)
    assert ran(bench) == []


def test_what_is_pushed_goes_where_it_came_from(bench: Bench) -> None:
    other = bench.init("other.git", bare=True)
    global_config(bench, f'[remote "origin"]\npushurl = {other}\n')
    assert bench.promote(bench.good()).commit == git(bench.repository, "rev-parse", "main").strip()
    assert git(other, "rev-list", "--count", "main").strip() == "1"


@pytest.mark.parametrize("by", ["GIT_ASKPASS", "SSH_ASKPASS", "core.askPass"])
def test_nobody_is_asked_for_a_password(
    bench: Bench, https_asking_for_a_password: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = script(bench.folder / "ask", f"echo {by} >> {bench.folder}/ran; echo word")
    if by == "core.askPass":
        global_config(bench, f"[core]\naskPass = {program}\n")
    else:
        monkeypatch.setenv(by, str(program))
    with pytest.raises(PromotionError, match="cannot read") as refused:
        promote(bench.good(), ring="canary", repo=https_asking_for_a_password, store=bench.store)
    assert ran(bench) == []
    assert "give git a credential helper" in refused.value.hint


def test_a_credential_helper_is_asked(bench: Bench, https_asking_for_a_password: str) -> None:
    """Control: what one wants goes on working. (The server takes no password, whatever it is.)"""
    answer = f"echo helper >> {bench.folder}/ran; echo username=ci; echo password=word"
    program = script(bench.folder / "helper", answer)
    global_config(bench, f'[credential "{https_asking_for_a_password}"]\nhelper = {program}\n')
    with pytest.raises(PromotionError, match="cannot read"):
        promote(bench.good(), ring="canary", repo=https_asking_for_a_password, store=bench.store)
    assert ran(bench) == ["helper"]


@pytest.mark.parametrize("by", ["core.sshCommand", "GIT_SSH_COMMAND"])
def test_ssh_is_run_with_its_agent(bench: Bench, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a whole promotion, by a URL that the configuration makes another one of."""
    run = f'echo "$SSH_AUTH_SOCK" >> {bench.folder}/ran; for last; do :; done; exec sh -c "$last"'
    program = script(bench.folder / "ssh", run)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    text = '[url "ssh://git@host/"]\ninsteadOf = lab:\n[ssh]\nvariant = ssh\n'
    if by == "core.sshCommand":
        text += f"[core]\nsshCommand = {program}\n"
    else:
        monkeypatch.setenv(by, str(program))
    global_config(bench, text)
    promote(bench.good(), ring="canary", repo=f"lab:{bench.repository}", store=bench.store)
    assert held(bench) == {"legacy-gateway": "1.1.0"}
    assert ran(bench) == ["/agent"]


def test_a_repository_of_somebody_else_must_be_named_as_safe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = bench.good()
    checkout(bench)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its own tests
    with pytest.raises(PromotionError, match="dubious ownership"):
        bench.promote(release)
    global_config(bench, "[safe]\ndirectory = *\n")
    assert bench.promote(release).commit


def test_who_promotes_is_who_the_checkout_says(bench: Bench) -> None:
    release = bench.good()
    text = "[user]\nname = Ada\nemail = ada@example.com\n"
    global_config(bench, text)
    git(checkout(bench), "config", "user.email", "ada@here")
    bench.promote(release)
    assert git(bench.repository, "log", "-1", "--format=%an <%ae> %cn") == "Ada <ada@here> Ada\n"


def test_a_new_repository_has_nobody_s_hooks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    script(bench.folder / "template/hooks/pre-receive", "exit 1")
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(bench.folder / "template"))
    assert list(bench.init("new.git", bare=True).rglob("pre-receive")) == []


def test_a_clone_has_the_format_of_its_remote(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = bench.good()
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    first = bench.promote(release).commit
    assert first is not None and re.fullmatch("[0-9a-f]{40}", first)
    work = bench.folder / "longer"
    git(bench.folder, "clone", "--quiet", str(bench.repository), str(work))
    (work / ".git").rename(bench.folder / "shorter")
    (work / "rings/canary.yaml").write_text("machines: {}\n")
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, "the same, with longer names")
    for place in (work, bench.init("sha1.git", bare=True)):
        longer = promote(release, ring="canary", repo=str(place), store=bench.store).commit
        assert longer == git(place, "rev-parse", "main").strip()
    assert len(git(work, "rev-parse", "main").strip()) == 64


@pytest.mark.parametrize("repo", ["", " "])
def test_an_empty_text_names_no_repository(
    bench: Bench, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that CI has not set: the checkout where it runs is none of ours."""
    release = bench.good()
    monkeypatch.chdir(checkout(bench))
    with pytest.raises(ConfigurationError, match="--repo: is empty"):
        promote(release, ring="canary", repo=repo, store=bench.store)
    assert bench.commits() == 2


def test_a_bare_repository_may_be_asked_to_be_named(bench: Bench) -> None:
    """safe.bareRepository (git-config(1)): the private clone is one, whatever is set."""
    global_config(bench, "[safe]\n\tbareRepository = explicit\n")
    assert bench.promote(bench.good()).commit


def test_a_shallow_repository_has_no_history(bench: Bench) -> None:
    bench.promote(bench.good("1.0.0"))
    shallow = bench.folder / "shallow.git"
    whole = bench.repository.as_uri()
    git(bench.folder, "clone", "--quiet", "--bare", "--depth=1", whole, str(shallow))
    bench.repository = shallow
    with pytest.raises(PromotionError, match="it is a shallow clone"):
        bench.promote(bench.good("1.1.0"))


@pytest.mark.parametrize("anybody_s", [True, False])
def test_line_ends_are_the_checkout_s_and_not_the_commit_s(bench: Bench, anybody_s: bool) -> None:
    release = bench.good()
    if anybody_s:
        global_config(bench, "[core]\nautocrlf = true\n")
    checkout(bench)
    git(bench.repository, "config", "core.autocrlf", "true")
    (bench.repository / ".gitattributes").unlink()
    commit(bench.repository, "no attributes")
    if anybody_s:
        git(bench.repository, "config", "--unset", "core.autocrlf")
    bench.promote(release)
    file = "rings/canary.yaml"
    assert b"\r\n" in (bench.repository / file).read_bytes()
    assert "\r" not in git(bench.repository, "cat-file", "blob", f"HEAD:{file}")
    assert git(bench.repository, "status", "--porcelain") == ""
