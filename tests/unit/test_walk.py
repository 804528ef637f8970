"""The model of a walk: its printed form, and what it lets a device run."""

from itertools import product

import pytest

from harness.medium.model import Loss
from harness.scenarios.walk import (
    BAD,
    NOTHING,
    Device,
    WalkEvent,
    WalkEventKind,
    covering,
    generate,
    parse,
    shorter,
)


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
            seen.add((waits if waits in ("", "run", "bad") else waits.count("+"), event.kind))
            there = there.after(event.kind)
    assert seen == set(product(("", "run", "bad", 0, 1), WalkEventKind))


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
        ("cut-switching/all", "old", "nothing"),
        ("reboot", "old", "nothing"),
    ],
)
def test_what_should_become_of_a_device(kind: str, runs: str, state: str) -> None:
    there = Device().after(WalkEvent.parse(kind).kind)
    assert (there.runs, there.state) == (runs, state)
    assert Device().after(WalkEventKind.UPDATE).after(WalkEventKind.REBOOT).runs == "new"
    assert Device().after(WalkEventKind.UPDATE).after(WalkEventKind.PORTAL).runs == "old"


@pytest.mark.parametrize("text", ["", "up", "update/all", "cut", "cut/half", "update,,cut/all"])
def test_what_is_no_walk_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"event|loss"):
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


def test_a_cut_install_may_have_come_to_its_end() -> None:
    assert device(BAD).cut(WalkEventKind.CUT_WRITING) == device(BAD, NOTHING, "new")


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
