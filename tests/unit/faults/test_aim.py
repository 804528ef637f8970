"""Aims as they are printed and read."""

import pytest

from harness.errors import ConfigurationError
from harness.faults.aim import Aim, AimKind, StruckPhase, Sweep
from harness.scenarios.asked import cuts

SIZE = 1000


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("console:Installing.*/50ms", (AimKind.CONSOLE, 0.05, "Installing.*", 0, None)),
        ("console:a/b", (AimKind.CONSOLE, 0.0, "a/b", 0, None)),
        ("console:x@y/5ms@switch", (AimKind.CONSOLE, 0.005, "x@y", 0, StruckPhase.SWITCH)),
        ("bytes:50%", (AimKind.BYTES, 0.0, "", 500, None)),
        ("bytes:123@before-write", (AimKind.BYTES, 0.0, "", 123, StruckPhase.BEFORE_WRITE)),
        ("time:12.5s", (AimKind.TIME, 12.5, "", 0, None)),
        ("time:500ms@write", (AimKind.TIME, 0.5, "", 0, StruckPhase.WRITE)),
    ],
)
def test_an_aim_is_read(text: str, read: tuple[object, ...]) -> None:
    aim = Aim.parse(text, size=SIZE)
    assert (aim.kind, aim.seconds, aim.pattern, aim.byte, aim.phase) == read
    assert str(aim) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("console:", "is no aim"),
        ("gpio:3", "is no aim"),
        ("console:(", "is no regular expression"),
        ("bytes:half", "is no place"),
        ("bytes:1000", "has 1000 bytes"),
        ("bytes:0", "has 1000 bytes"),
        ("time:5", "is no time"),
        ("time:\u0665s", "is no time"),
        ("time:1.0005s", "finer than 1ms"),
        ("time:0.5ms", "finer than 1ms"),
        ("time:99999999999s", "nothing is later than 3600s"),
        ("console:x/9999999999ms", "nothing is later than 3600s"),
    ],
)
def test_what_is_no_aim_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Aim.parse(text, size=SIZE)


def test_a_sweep_is_a_cut_at_each_step() -> None:
    sweep = Sweep.parse("0s..1s/250ms")
    assert [str(aim) for aim in sweep.aims] == [
        *("time:0s", "time:0.25s", "time:0.5s", "time:0.75s", "time:1s")
    ]
    assert str(sweep) == "0s..1s/250ms" and Sweep.parse(str(sweep)) == sweep
    for wrong in ("0s..1s", "1s..0s/1ms", "0s..1s/0ms", "0..1/2", "x"):
        with pytest.raises(ValueError, match=r"is no|goes nowhere"):
            Sweep.parse(wrong)


def test_a_sweep_is_printed_to_the_millisecond() -> None:
    assert str(Sweep.parse("1234.567s..1300s/1s")) == "1234.567s..1300s/1000ms"
    assert [str(aim) for aim in Sweep.parse("1234.567s..1234.569s/1ms").aims] == [
        *("time:1234.567s", "time:1234.568s", "time:1234.569s")
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0s..1s/0.4ms", "finer than 1ms"),
        ("0s..1s/0.0004s", "finer than 1ms"),
        ("0s..100s/1ms", "100001 cuts, 10000 are the most"),
        ("0s.." + "9" * 400 + "s/1s", "is no time"),
        ("0s..7200s/1s", "nothing is later than 3600s"),
    ],
)
def test_what_nobody_has_time_for_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        cuts([], text, bisect=False)


def test_a_search_may_be_finer_than_a_sweep() -> None:
    assert cuts([], "0s..100s/1ms", bisect=True) == ["bisected-cuts[0s..100s/1ms]"]


def test_what_is_asked_for_becomes_scenarios() -> None:
    assert cuts(["bytes:1%"], "0s..1s/1s", bisect=False) == [
        *("aimed-cut[bytes:1%]", "aimed-cut[time:0s]", "aimed-cut[time:1s]")
    ]
    assert cuts([], "0s..1s/1s", bisect=True) == ["bisected-cuts[0s..1s/1000ms]"]
    with pytest.raises(ConfigurationError, match="between which cuts"):
        cuts([], "", bisect=True)
    with pytest.raises(ConfigurationError, match="is no sweep"):
        cuts([], "soon", bisect=False)
