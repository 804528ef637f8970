"""What a ring's policy lets count; each refusal has its control in the rule that allows it."""

import dataclasses
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.boards.lab_file import Kind
from harness.errors import PromotionError
from harness.evidence.evidence import BoardTold
from harness.evidence.record import Control
from harness.evidence.subject import Subject
from harness.evidence.tools import own_version
from harness.judge.verdict import Invariant, NotChecked, Verdict
from harness.plugins import UsedPart
from harness.product.release import load
from harness.promotion.starter import init_repository
from tests.unit.evidence.samples import NOON, TOOLS, make_release, record
from tests.unit.promotion.conftest import CUTS, Bench, starter

ALL = ["update", *CUTS]
CLIENT = UsedPart(
    group="clients",
    name="acme",
    value="acme.ota:Client",
    distribution="acme-ota",
    version="1.2",
    sha256="0" * 64,
)
OURS = replace(CLIENT, value="harness.clients.rauc:Client", distribution="harness", version="1")
OWN: dict[str, Any] = TOOLS["harness"]  # type: ignore[assignment]


def refusal(bench: Bench, release: Path, ring: str = "canary", **more: bool) -> str:
    before = bench.commits()
    with pytest.raises(PromotionError, match="is not let into ring") as refused:
        bench.promote(release, ring, **more)
    assert bench.commits() == before
    return refused.value.details


def harness(**changes: Any) -> dict[str, Any]:
    return {"tools": {**TOOLS, "harness": {**OWN, **changes}}}


@pytest.mark.parametrize(
    ("header", "told", "allowed"),
    [
        ({"lab": "/elsewhere/lab.yaml"}, "lab /elsewhere/lab.yaml", {"labs": ["/elsewhere/*"]}),
        (
            {"benches": {"gateway-qemu": BoardTold(kind=Kind.VIRTUAL)}},
            "it is of a board that is virtual, not qemu or real",
            {"boards": ["qemu", "virtual"]},
        ),
        ({"parts": (OURS, CLIENT)}, "clients acme of acme-ota 1.2", {"parts": ["acme-*"]}),
        ({"parts": (CLIENT,)}, "clients acme of acme-ota 1.2", {"parts": ["acme-ota"]}),
        (harness(dirty=True), "changes that are in no commit", {"harness": {"dirty": True}}),
        (harness(dirty=None), "nobody can say of which commit", {"harness": {"dirty": True}}),
        (
            harness(version="0.0.9"),
            f"is of harness 0.0.9, not of {own_version()}",
            {"harness": {"versions": ["0.0.9"]}},
        ),
        (
            {"tools": {**TOOLS, "project": {"commit": "1", "dirty": True}}},
            "its product folder had changes that are in no commit",
            {"harness": {"dirty": True}},
        ),
        (
            {"tools": {**TOOLS, "project": {"commit": None, "dirty": None}}},
            "nobody can say of which commit its product folder was",
            {"harness": {"dirty": True}},
        ),
        (
            {"tools": {"harness": "1"}},
            "is of harness unknown",
            {"harness": {"versions": ["unknown"], "dirty": True}},
        ),
    ],
)
def test_where_a_run_comes_from(
    bench: Bench, header: dict[str, Any], told: str, allowed: dict[str, Any]
) -> None:
    release = bench.release()
    bench.test(release, [record(name) for name in ALL], **header)
    lines = refusal(bench, release)
    assert "missing: update: no evidence for these digests" in lines
    assert "note: run " in lines and told in lines
    if told != "is of harness unknown":  # that no policy lets count
        bench.change_policy(lambda policy: policy["rings"]["canary"].update(allowed))
        assert bench.promote(release).commit


def test_what_was_shown_on_no_real_board_is_not_shown_on_one(bench: Bench) -> None:
    release = bench.release()
    bench.change_policy(lambda policy: policy["rings"]["canary"].update({"boards": ["real"]}))
    for kind in (None, Kind.VIRTUAL):
        benches = {"gateway-qemu": BoardTold(kind=kind)} if kind else {}
        bench.test(release, [record(name) for name in ALL], benches=benches)
        told = f"it is of a board that is {kind or Kind.QEMU}, not real"
        assert told in refusal(bench, release)
    real = BoardTold(kind=Kind.REAL, card_serial="1")
    bench.test(release, [record(name) for name in ALL], benches={"gateway-qemu": real})
    assert bench.promote(release).commit


def test_a_scenario_that_was_left_out_is_told_so(bench: Bench) -> None:
    release = bench.release()
    records = [record(name) for name in ALL if name != "update"]
    lacking = {"update": "the board has no cut-at-write", "clock[1970]": "nor that"}
    bench.test(release, records, left_out=lacking)
    assert "missing: update: left out: the board has no cut-at-write" in refusal(bench, release)
    asked = {"clock[*": 1}
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(matching=asked))
    assert "passed; left out: clock[1970] (nor that)" in refusal(bench, release)


def test_what_was_not_checked_does_not_count_where_the_policy_asks_for_it(bench: Bench) -> None:
    release = bench.release()
    left = (NotChecked(name="slot-content", why="the board has no medium-read"),)
    looked = (Invariant(name="slot-content", holds=True),)
    records = [record(name, invariants=looked) for name in ALL if name != "update"]
    bench.test(release, [*records, record("update", not_checked=left)])

    def ask(*names: str) -> None:
        bench.change_policy(lambda policy: policy["rings"]["canary"].update(checked=names))

    ask("slot-content")
    told = "slot-content was not checked: the board has no medium-read"
    assert f"missing: update: {told}" in refusal(bench, release)
    ask("boot-selection")
    lines = refusal(bench, release)
    told = "boot-selection was not checked: the scenario does not look at it"
    assert f"missing: update: {told}" in lines
    assert "missing: power-cut[*]: 0 of at least 2 passed; not passed: power-cut[0/none]" in lines
    ask()
    assert bench.promote(release).commit


def test_what_was_checked_counts_there(bench: Bench) -> None:
    """A control and an exploration are not asked: they have no such invariants."""
    release = bench.release()
    looked = (Invariant(name="slot-content", holds=True),)
    seen = Control(variants=("no-boot-counter",), slot="0" * 64)
    control = record(
        "negative-control[x]", Verdict.BRICKED, expected=(Verdict.BRICKED,), control=seen
    )
    bench.test(release, [*(record(name, invariants=looked) for name in ALL), control])
    asked = {"checked": ["slot-content"], "matching": {"negative-control[*": 1}}
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(asked))
    assert bench.promote(release).commit


def test_controls_count_where_they_are_asked_for(bench: Bench) -> None:
    release = bench.release()
    seen = Control(variants=("no-boot-counter",), slot="0" * 64)
    control = record(
        "negative-control[x]", Verdict.BRICKED, expected=(Verdict.BRICKED,), control=seen
    )
    bench.test(release, [*map(record, ALL), control])
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(matching={"*[*": 99}))
    few = len([name for name in ALL if "[" in name])
    assert f"missing: *[*: {few} of at least 99 passed" in refusal(bench, release)
    asked = {"negative-control[*": 1}
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(matching=asked))
    assert bench.promote(release).commit


def test_a_planted_fault_that_was_found_counts_where_it_is_asked_for(bench: Bench) -> None:
    """By its name, or by `crash[`; `crash*` is about the release."""
    release = bench.release()
    seen = Control(variants=("careless-client",), slot="0" * 64)
    found = record(
        "crash[careless-client]", Verdict.BRICKED, expected=(Verdict.BRICKED,), control=seen
    )
    bench.test(release, [*map(record, ALL), record("crash-model"), found])

    def ask(**what: object) -> None:
        bench.change_policy(lambda policy: policy["rings"]["canary"].update(what))

    ask(scenarios=["crash[resume-any]"], matching={"crash*": 2, "crash[*": 2})
    lines = refusal(bench, release)
    assert "missing: crash[resume-any]: no evidence" in lines
    assert "missing: crash*: 1 of at least 2 passed" in lines
    assert "missing: crash[*: 1 of at least 2 passed" in lines
    ask(scenarios=["crash[careless-client]"], matching={"crash*": 1, "crash[*": 1})
    assert bench.promote(release).commit


def test_nothing_else_counts_as_a_control(bench: Bench) -> None:
    """Not a plain record of such a name; and not one about the very release."""
    release = bench.release()
    bench.test(release, [*map(record, ALL), record("negative-control[x]")])
    asked = {"negative-control[*": 1}
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(matching=asked))
    assert "missing: negative-control[*: 0 of at least 1" in refusal(bench, release)
    seen = Control(variants=("x",), slot=Subject.of(load(release)).digests.slot)
    itself = record(
        "negative-control[x]", Verdict.BRICKED, expected=(Verdict.BRICKED,), control=seen
    )
    bench.test(release, [itself])
    assert "is no control: its product is one of those that were tested" in refusal(bench, release)


def test_a_failure_counts_wherever_it_comes_from(bench: Bench) -> None:
    release = bench.good()
    failed = [record("update", Verdict.BRICKED, minute=-60 * 24 * 7300)]
    bench.test(release, failed, lab="/elsewhere", tools={}, old=None)
    assert "failed: update: bricked" in refusal(bench, release)


def test_parts_of_others_are_let_in_by_name(bench: Bench) -> None:
    """Somebody else's client says whether a device is well: not for a ring that does not know."""
    release = bench.release()
    bench.test(release, map(record, ALL), parts=(CLIENT, OURS))

    def ask(*names: str) -> None:
        bench.change_policy(lambda policy: policy["rings"]["canary"].update(parts=names))

    ask("harness", "acme", "acme-ota 1.1", "acme-ota-more")
    assert f"which parts does not name: {CLIENT}" in refusal(bench, release)
    ask("acme-ota 1.2")
    assert bench.promote(release).commit


def test_evidence_has_an_age(bench: Bench) -> None:
    release = bench.release()
    bench.test(release, [record(name, minute=-60 * 24 * 91) for name in ALL])
    assert "it is 91 days old, at most 90 count" in refusal(bench, release)
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(max_age_days=92))
    assert bench.promote(release).commit


def test_evidence_of_a_day_to_come_refuses(bench: Bench) -> None:
    """Beside a good run: a clock that is wrong, or a lie that would never grow old."""
    release = bench.good()
    tomorrow = record("more", started=NOON, finished=NOON + timedelta(days=1))
    bench.test(release, [tomorrow])
    assert "which is still to come" in refusal(bench, release)


@pytest.mark.parametrize("unfinished", [False, True])
def test_an_update_to_itself_proves_nothing(bench: Bench, unfinished: bool) -> None:
    release = bench.release()
    itself = None if unfinished else Subject.of(load(release))
    bench.test(release, [record(name) for name in ALL], old=itself)
    told = "from which release" if unfinished else "an update of the release to itself"
    assert told in refusal(bench, release)


def test_what_the_ring_holds_is_where_updates_start(bench: Bench) -> None:
    bench.promote(bench.good("1.0.0"))
    release = bench.release("1.1.0")
    bench.test(release, [record(name) for name in ALL])  # from another one
    lines = refusal(bench, release)
    assert "missing: from 1.0.0, which the ring has: update: no evidence" in lines
    other = make_release(bench.folder / "rebuilt", version="1.0.0", content="rebuilt")
    bench.test(release, [record(name) for name in ALL], old=other)  # that is only called so
    assert "missing: from 1.0.0, which the ring has: update" in refusal(bench, release)
    held = Subject.of(load(bench.folder / "legacy-gateway-1.0.0"))
    bench.test(release, [record(name) for name in ALL], old=held)
    [candidate] = bench.promote(release).candidates
    assert candidate.decision is not None
    [stored] = candidate.decision.evidence
    assert stored.evidence.header.from_release == held


def test_a_policy_may_leave_the_ring_out(bench: Bench) -> None:
    bench.promote(bench.good("1.0.0"))
    release = bench.release("1.1.0")
    bench.test(release, [record(name) for name in ALL])
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(from_ring=False))
    assert bench.promote(release).commit


def test_a_policy_may_name_more_starts(bench: Bench) -> None:
    bench.change_policy(
        lambda policy: policy["rings"]["canary"].update(from_versions=["0.9.0", "0.8.0"])
    )
    release = bench.good()
    lines = refusal(bench, release)
    assert "missing: from 0.8.0: update: no evidence" in lines
    assert "from 0.9.0" not in lines
    old = make_release(bench.folder / "older", version="0.8.0")
    bench.test(release, [record(name) for name in ALL], old=old)
    assert bench.promote(release).commit


def test_a_step_back_must_be_proven_too(bench: Bench) -> None:
    """From what the devices have now; `--allow-older` asks for it, and does not replace it."""
    older = bench.good("1.0.0")
    bench.promote(bench.good("1.1.0"))
    assert "from 1.1.0, which the ring has" in refusal(bench, older, allow_older=True)


def variant(bench: Bench) -> Path:
    folder = bench.folder / "variant"
    subject = make_release(folder, variants=("no-boot-counter",))
    assert subject.variants
    bench.test(folder, [record(name) for name in ALL])
    return folder


def test_a_deliberate_variant_is_let_in_by_name_only(bench: Bench) -> None:
    release = variant(bench)
    assert "refused: it is the deliberate variant no-boot-counter" in refusal(bench, release)
    bench.change_policy(lambda policy: policy["rings"]["canary"].update(variants=["another"]))
    assert "deliberate variant" in refusal(bench, release)
    bench.change_policy(
        lambda policy: policy["rings"]["canary"].update(variants=["no-boot-counter"])
    )
    assert bench.promote(release).commit


def rebuilt(bench: Bench, version: str) -> Path:
    """The same version with other content, and all the evidence that it needs."""
    folder = bench.folder / f"rebuilt-{version}"
    make_release(folder, version=version, content="rebuilt")
    for old in (bench.old(), *bench.known):
        bench.test(folder, [record(name) for name in ALL], old=old)
    return folder


@pytest.mark.parametrize("ring", ["canary", "lab"])
def test_one_version_is_one_content(bench: Bench, ring: str) -> None:
    """In every ring, and whatever is asked for."""
    bench.promote(bench.good("1.1.0"), ring)
    told = refusal(bench, rebuilt(bench, "1.1.0"), allow_older=True)
    assert f"ring {ring} has another legacy-gateway 1.1.0 with different content" in told


@pytest.mark.parametrize("ring", ["canary", "lab"])
def test_one_version_is_one_content_for_ever(bench: Bench, ring: str) -> None:
    """Also when the ring has gone on since, and been put back: devices may have it from then."""
    first = bench.good("1.0.0")
    bench.promote(bench.good("1.1.0"), ring)
    back = [record(name) for name in ALL]
    bench.test(first, back, old=Subject.of(load(bench.folder / "legacy-gateway-1.1.0")))
    bench.promote(first, ring, allow_older=True)
    told = refusal(bench, rebuilt(bench, "1.1.0"))
    assert f"ring {ring} had another legacy-gateway 1.1.0 with different content" in told
    again = bench.folder / "legacy-gateway-1.1.0"  # what it was: that may come back
    bench.test(again, [record(name) for name in ALL], old=Subject.of(load(first)))
    assert bench.promote(again, ring).commit


def test_what_cannot_be_read_of_the_past_is_in_nobody_s_way(bench: Bench) -> None:
    file = Path("rings/lab.yaml")
    whole = bench.ring("lab")
    bench.change(lambda work: (work / file).write_text("machines: ["))
    bench.change(lambda work: (work / file).write_text("\0"))
    bench.change(lambda work: (work / file).unlink())
    bench.change(lambda work: (work / file).symlink_to("../policy.yaml"))
    bench.change(lambda work: (work / file).unlink())
    bench.change(lambda work: (work / file).write_text(whole))
    assert bench.promote(bench.good()).commit


def test_a_failure_is_not_forgiven_by_packing_the_same_slot_again(bench: Bench) -> None:
    """A newline more in release.json makes other digests, and not another product."""
    release = bench.good()
    bench.test(release, [record("update", Verdict.BRICKED)])
    file = release / "release.json"
    file.write_text(file.read_text() + "\n")
    bench.test(release, [record(name) for name in ALL])
    assert "failed: update: bricked" in refusal(bench, release)


def test_a_failure_is_not_forgiven_under_another_version(bench: Bench) -> None:
    """The text in release.json is no part of what a device gets."""
    release = bench.good()
    bench.test(release, [record("update", Verdict.BRICKED)])
    unfinished = bench.begin(release, record("update", Verdict.BRICKED))
    again = bench.folder / "again"
    shutil.copytree(release, again)
    file = again / "release.json"
    file.write_text(file.read_text().replace('"1.1.0"', '"1.1.1"'))
    bench.test(again, [record(name) for name in ALL])
    assert refusal(bench, again).count("failed: update: bricked") == 2
    shutil.rmtree(unfinished)
    assert refusal(bench, again).count("failed: update: bricked") == 1
    other = make_release(bench.folder / "other", version="1.1.2", content="another")
    bench.test(bench.folder / "other", [record(name) for name in ALL])
    assert other.version == "1.1.2"
    assert bench.promote(bench.folder / "other").commit


@pytest.mark.parametrize("lost", ["evidence.json", "digests"])
def test_a_failure_under_another_version_is_what_was_signed(bench: Bench, lost: str) -> None:
    """Whatever has been made of the statement beside the envelope."""
    release = bench.good()
    folder = bench.test(release, [record("update", Verdict.BRICKED)]).folder
    again = bench.folder / "again"
    shutil.copytree(release, again)
    file = again / "release.json"
    file.write_text(file.read_text().replace('"1.1.0"', '"1.1.1"'))
    bench.test(again, [record(name) for name in ALL])
    stated = folder / "evidence.json"
    if lost == "digests":
        slot = Subject.of(load(release)).digests.slot
        stated.write_text(stated.read_text().replace(slot, "0" * 64))
    else:
        stated.unlink()
    assert "failed: update: bricked" in refusal(bench, again)


@pytest.mark.parametrize("name", ["evidence.json", "run.json"])
def test_a_damaged_run_of_another_version_is_in_nobody_s_way(bench: Bench, name: str) -> None:
    """Of the next version, from this one: its digests stand there, too."""
    release = bench.good("1.1.0")
    following = bench.release("1.2.0")
    held = Subject.of(load(release))
    if name == "evidence.json":
        folder = bench.test(following, [record("update")], old=held).folder
        (folder / "evidence.dsse.json").unlink()
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])
    else:
        shutil.rmtree(bench.begin(following) / "records")
    assert bench.promote(release).commit


def test_a_start_is_more_than_a_name(bench: Bench) -> None:
    """Of another machine, or with other content than a ring has had under that version."""
    first = bench.good("0.8.0")
    bench.promote(first, "lab")
    bench.change_policy(
        lambda policy: policy["rings"]["canary"].update(from_versions=["0.8.0"], from_ring=False)
    )
    release = bench.release()
    held = Subject.of(load(first))
    for old in (
        dataclasses.replace(bench.old("rpi4"), version="0.8.0"),
        dataclasses.replace(held, digests=bench.old().digests),
    ):
        bench.test(release, [record(name) for name in ALL], old=old)
        assert "missing: from 0.8.0: update: no evidence" in refusal(bench, release)
    bench.test(release, [record(name) for name in ALL], old=held)
    assert bench.promote(release).commit


def test_the_demo_of_a_developer_is_believed_in_its_own_repository(bench: Bench) -> None:
    """From a checkout with changes, and any lab file; nowhere else is such a run."""
    release = bench.release()
    mine = harness(dirty=True)
    bench.test(release, [record(name) for name in ALL], lab="/home/dev/lab.yaml", **mine)
    assert "missing: update" in refusal(bench, release)
    bench.repository = bench.folder / "demo.git"
    policy = starter(bench.signer)
    own = dataclasses.replace(policy, dirty=True, labs=["/home/dev/lab.yaml"])
    init_repository(bench.repository, own, bare=True)
    assert bench.promote(release).commit
