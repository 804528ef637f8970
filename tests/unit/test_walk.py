"""The model of a walk: its printed form, and what it lets a device run."""

import importlib
from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace

import pytest

from harness.errors import LabError
from harness.judge.verdict import Verdict
from harness.medium.model import Loss
from harness.scenarios.walk import (
    BAD,
    INSTALLS,
    MUST_FAIL,
    NOTHING,
    Device,
    WalkEvent,
    WalkEventKind,
    covering,
    generate,
    parse,
    shorter,
)
from tests.unit.evidence.samples import record as make_record


def device(*waits: str, runs: str = "old") -> Device:
    return Device(runs=runs, waits=frozenset(waits))


def test_the_printed_form_is_read_back() -> None:
    text = "update,cut/some:1,reboot,cut-writing/none,portal"
    events = parse(text)
    assert ",".join(map(str, events)) == text
    assert events[1] == WalkEvent(kind=WalkEventKind.CUT, loss=Loss.parse("some:1"))


def test_a_seed_is_one_walk() -> None:
    assert parse("seed:7") == generate(7, length=8) == parse("seed:7x8")
    assert len(parse("seed:7x20")) == 20
    assert parse("seed:7") != parse("seed:8")
    assert {event.kind for seed in range(200) for event in generate(seed, length=8)} == set(
        WalkEventKind
    )
    text = ",".join(map(str, parse("seed:3x30")))
    assert parse(text) == parse("seed:3x30")


def test_the_walks_of_a_night_take_every_step_from_every_state() -> None:
    """Six random ones never installed a bad version, or lost the power, on top of what waited."""
    seen = set()
    for walk in covering():
        assert len(walk) <= 8
        there = Device()
        for event in walk:
            waits = "+".join(sorted("run" if w == there.runs else w for w in there.waits))
            kind = waits if waits in ("", "run", "bad") else waits.count("+")
            seen.add(("half" if there.half and waits == "" else kind, event.kind))
            there = there.after(event.kind)
    assert seen == set(product(("", "half", "run", "bad", 0, 1), WalkEventKind))


def test_the_walks_of_a_night_notice_an_install_that_goes_on_with_another_artifact() -> None:
    """A client that goes on where it was cut, whatever it installs now, makes a mixture that does
    not boot; the device fell back to what it was allowed to run, and all walks passed."""
    noticed = []
    for number, walk in enumerate(covering(), 1):
        there, half, mixed = Device(), "", False
        for event in (*walk, WalkEvent(kind=WalkEventKind.REBOOT)):
            kind = event.kind
            if kind in INSTALLS and not there.must_refuse(kind):
                target = str(kind) if there.target(kind) == BAD else there.target(kind)
                cut = kind is WalkEventKind.CUT_WRITING
                mixed, half = not cut and half not in ("", target), target if cut else ""
            elif kind not in INSTALLS and mixed:  # it falls back
                if there.must_try(portal=kind is WalkEventKind.PORTAL):
                    noticed.append((number, str(kind)))
                mixed = False
            there = there.after(kind)
    assert noticed


@pytest.mark.parametrize(
    ("events", "half"),
    [
        ("cut-writing/none", "new"),
        ("cut-switching/none", "new"),
        ("cut-writing/none,reboot", "new"),
        ("cut-writing/none,flip", "new"),
        ("cut-writing/none,same", ""),
        ("cut-writing/none,update", ""),
        ("update", ""),
    ],
)
def test_what_an_interrupted_install_has_left(events: str, half: str) -> None:
    there = Device()
    for event in parse(events):
        there = there.after(event.kind)
    assert there.half == half


def test_what_was_cut_and_runs_all_the_same_was_not_interrupted() -> None:
    there = Device().cut(WalkEventKind.CUT_SWITCHING)
    assert (there.booted("new").half, there.booted("old").half) == ("", "new")


@pytest.mark.parametrize(
    ("before", "portal", "tried"),
    [
        (device(NOTHING), False, True),
        (device("new"), False, True),
        (device("old"), False, True),
        (device("new"), True, False),
        (device(BAD), False, False),
        (device("new", NOTHING), False, False),
    ],
)
def test_what_is_tried_in_the_next_boot(before: Device, portal: bool, tried: bool) -> None:
    assert before.must_try(portal=portal) is tried


def test_a_walk_of_a_night_has_a_name() -> None:
    assert parse("cover:2") == covering()[1]
    with pytest.raises(ValueError, match="cover:99: there are 1"):
        parse("cover:99")


@pytest.mark.parametrize(
    ("kind", "runs", "state"),
    [
        ("update", "old", "other"),
        ("panics", "old", "bad"),
        ("refused", "old", "nothing"),
        ("cut-switching/all", "old", "interrupted"),
        ("reboot", "old", "nothing"),
    ],
)
def test_what_should_become_of_a_device(kind: str, runs: str, state: str) -> None:
    there = Device().after(WalkEvent.parse(kind).kind)
    assert (there.runs, there.state) == (runs, state)
    assert Device().after(WalkEventKind.UPDATE).after(WalkEventKind.REBOOT).runs == "new"
    assert Device().after(WalkEventKind.UPDATE).after(WalkEventKind.PORTAL).runs == "old"


@pytest.mark.parametrize(
    "text",
    [
        *("", "up", "update/all", "cut", "cut/half", "update,,cut/all"),
        *("seed:2x0", "seed:2x201", ",".join(["reboot"] * 201)),
        *("cut/only:3", "cut/without:3", "cut-writing/torn:3:1", "cut/all~4"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_walk_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"event|loss|recording"):
        parse(text)


@pytest.mark.parametrize(
    ("before", "kind", "ok", "after"),
    [
        (device(NOTHING), WalkEventKind.UPDATE, True, device("new")),
        (device(NOTHING, runs="new"), WalkEventKind.UPDATE, True, device("old", runs="new")),
        (device(NOTHING), WalkEventKind.SAME, True, device("old")),
        (device("new"), WalkEventKind.PANICS, True, device(BAD)),
        (device("new"), WalkEventKind.FLIP, False, device("new", NOTHING)),
    ],
)
def test_what_waits_after_an_install(
    before: Device, kind: WalkEventKind, ok: bool, after: Device
) -> None:
    assert before.installed(kind, ok=ok) == after


def test_a_product_that_refuses_older_versions_is_right_to_do_so() -> None:
    """A walk went back and forth, and called it wrong; so such products had no walks at all."""
    at_first, newest = Device(only_newer=True), Device(runs="new", only_newer=True)
    back = (WalkEventKind.UPDATE, WalkEventKind.RESET, *MUST_FAIL)
    taken = (WalkEventKind.SAME, WalkEventKind.PANICS, WalkEventKind.FAILS)
    assert [kind for kind in INSTALLS if at_first.must_refuse(kind)] == list(MUST_FAIL)
    assert {kind for kind in INSTALLS if newest.must_refuse(kind)} == set(back)
    assert [newest.target(kind) for kind in taken] == ["new", BAD, BAD]
    assert newest.after(WalkEventKind.UPDATE).waits == {NOTHING}
    assert newest.after(WalkEventKind.UPDATE).may_run() == {"new"}
    # The power goes in an install that is taken.
    assert newest.cut(WalkEventKind.CUT_WRITING).waits == {NOTHING, "new"}
    assert at_first.cut(WalkEventKind.CUT_WRITING).waits == {NOTHING, "new"}
    # It never forgets what it is.
    there = at_first
    for kind in (WalkEventKind.UPDATE, WalkEventKind.REBOOT, WalkEventKind.PANICS):
        there = there.after(kind)
    assert (there.runs, there.waits, there.only_newer) == ("new", frozenset({BAD}), True)
    assert there.after(WalkEventKind.REBOOT) == newest


def test_who_may_go_back_is_not_right_to_refuse() -> None:
    assert not Device(runs="new").must_refuse(WalkEventKind.UPDATE)


def test_a_cut_install_may_have_come_to_its_end() -> None:
    assert device(BAD).cut(WalkEventKind.CUT_WRITING).waits == {BAD, NOTHING, "new"}


@pytest.mark.parametrize(
    ("before", "portal", "may"),
    [
        (device(NOTHING), False, {"old"}),
        (device("new"), False, {"new"}),
        (device("new"), True, {"old"}),
        (device(BAD, runs="new"), False, {"new"}),
        (device("new", NOTHING), False, {"old", "new"}),
    ],
)
def test_what_may_run_after_a_boot(before: Device, portal: bool, may: set[str]) -> None:
    assert before.may_run(portal=portal) == may


def test_a_shorter_walk_lacks_one_event() -> None:
    events = parse("update,reboot,cut/all")
    told = [",".join(map(str, each)) for each in shorter(events)]
    assert told == ["update,reboot", "update,cut/all", "reboot,cut/all"]


@pytest.mark.filterwarnings("ignore:Unknown pytest.mark")  # of the scenarios' plugin
def test_only_a_device_that_fails_makes_a_walk_shorter() -> None:
    """A bench in trouble in the middle of it was taken for one that reproduces the failure."""
    suite = importlib.import_module("harness.scenarios.suite.test_walk")
    events, tried = parse("update,reboot,cut/all,same"), list[str]()

    def fails(walk: Sequence[WalkEvent]) -> bool:
        tried.append(",".join(map(str, walk)))
        return "cut/all" in tried[-1]

    def breaks(walk: Sequence[WalkEvent]) -> bool:
        if len(walk) < 3:
            raise LabError("the host has no time")
        return fails(walk)

    assert suite.shortest_failing(events, fails) == parse("cut/all")
    assert suite.shortest_failing(events, breaks) == parse("update,reboot,cut/all")
    assert suite.shortest_failing(events, fails, seconds=0) == events


@pytest.mark.filterwarnings("ignore:Unknown pytest.mark")
@pytest.mark.parametrize(
    ("verdict", "failed"), [(Verdict.NEW, False), (Verdict.BRICKED, True), (None, None)]
)
def test_lab_trouble_is_no_failure_of_a_walk(verdict: Verdict | None, failed: bool | None) -> None:
    record = make_record("walk[seed:1]", verdict=verdict)
    suite = importlib.import_module("harness.scenarios.suite.test_walk")
    scenario = SimpleNamespace(record=record)
    if failed is None:
        with pytest.raises(LabError):
            suite.has_failed(scenario)
    else:
        assert suite.has_failed(scenario) is failed
