"""The choice of what survives."""

import pytest

from harness.medium.loss import Choice, choose
from harness.medium.model import Loss, LossKind

SEEDS = range(200)
SOME_7 = (0, 1, 3, 5, 6)
TORN_7 = (0, 4)


def _torn(lengths: list[int], seed: int) -> Choice:
    return choose(lengths, Loss(kind=LossKind.TORN, seed=seed))


def test_torn_is_some_with_one_write_cut_short() -> None:
    lengths = [4096, 512, 8192, 1024]
    for seed in SEEDS:
        some = choose(lengths, Loss(kind=LossKind.SOME, seed=seed))
        torn = _torn(lengths, seed)
        assert torn.torn
        victim, sectors = torn.torn
        assert 1 <= sectors < lengths[victim] // 512
        longer_kept = [index for index in some.kept if lengths[index] > 512]
        if longer_kept:
            assert torn.kept == some.kept and victim in longer_kept
        else:
            assert torn.kept == tuple(sorted({*some.kept, victim}))


def test_seeds_reach_every_sector_and_every_subset() -> None:
    assert {_torn([4096], seed).torn for seed in SEEDS} == {(0, count) for count in range(1, 8)}
    some = {choose([512] * 3, Loss(kind=LossKind.SOME, seed=seed)).kept for seed in SEEDS}
    assert len(some) == 8


def test_choices_never_change() -> None:
    """A seed in old evidence must mean the same cut for ever."""
    assert choose([4096] * 8, Loss(kind=LossKind.SOME, seed=7)).kept == SOME_7
    assert _torn([4096] * 8, 7) == Choice(kept=SOME_7, torn=TORN_7)


@pytest.mark.parametrize("text", ["none", "all", "some:1", "torn:1"])
def test_nothing_unflushed(text: str) -> None:
    assert choose([], Loss.parse(text)) == Choice(kept=())


PRINTED = [
    *("none", "all", "some:7", "torn:12", "only:0", "without:31", "torn:0:7"),
    *("only:3:2", "only:3,14", "without:3,14,15", "some:7~8", "only:3:2~1", "none~64"),
]


@pytest.mark.parametrize("text", PRINTED)
def test_printed_form(text: str) -> None:
    assert str(Loss.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "most", "none:1", "all:", "some:x", "some:1:2", "torn:3:0", "torn:1:2:3"),
        *("torn::1", "only", "only:", "only:-1", "only:1:0", "only:1:2:3", "without"),
        *("only:1,1", "only:2,1", "only:1,", "only:,1", "only:1,2:3", "without:1:2", "torn:1,2:3"),
        *("some:1,2", "none~", "none~0", "none~x", "~8", "none~1~2"),
    ],
)
def test_what_is_no_loss(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid loss: none, all"):
        Loss.parse(text)


LENGTHS, POSITIONS = [4096, 512, 8192], [10, 12, 20]


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("only:12", Choice(kept=(1,))),
        ("without:12", Choice(kept=(0, 2))),
        ("torn:20:3", Choice(kept=(0, 1, 2), torn=(2, 3))),
        ("torn:10:7", Choice(kept=(0, 1, 2), torn=(0, 7))),
        ("only:20:3", Choice(kept=(2,), torn=(2, 3))),
        ("only:10,20", Choice(kept=(0, 2))),
        ("without:10,12", Choice(kept=(2,))),
    ],
)
def test_a_write_that_is_named(text: str, fate: Choice) -> None:
    assert choose(LENGTHS, Loss.parse(text), POSITIONS) == fate


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("only:11", r"11 is not an unflushed write at this cut \(3 are in doubt: 10 ... 20\)"),
        ("without:0", "not an unflushed write"),
        ("torn:9:1", "not an unflushed write"),
        ("torn:12:1", "only 1 sectors"),
        ("torn:10:8", "only 8 sectors"),
        ("only:10:8", "only 8 sectors"),
        ("without:10,11", "record 11 is not an unflushed write"),
    ],
)
def test_a_write_that_is_not_in_doubt(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        choose(LENGTHS, Loss.parse(text), POSITIONS)


@pytest.mark.parametrize("kind", [LossKind.ONLY, LossKind.WITHOUT])
def test_some_losses_must_name_a_write(kind: LossKind) -> None:
    with pytest.raises(ValueError, match="must name a write"):
        choose(LENGTHS, Loss(kind=kind), POSITIONS)
