"""The choice of what survives."""

import pytest

from harness.boards.medium.loss import Fate, choose
from harness.boards.medium.model import Loss, LossKind

SEEDS = range(200)
SOME_7 = (0, 1, 3, 5, 6)
TORN_7 = (0, 4)


def _torn(lengths: list[int], seed: int) -> Fate:
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
    assert _torn([4096] * 8, 7) == Fate(kept=SOME_7, torn=TORN_7)


@pytest.mark.parametrize("kind", list(LossKind))
def test_nothing_unflushed(kind: LossKind) -> None:
    assert choose([], Loss(kind=kind, seed=1)) == Fate(kept=())


@pytest.mark.parametrize("text", ["none", "all", "some:7", "torn:12"])
def test_printed_form(text: str) -> None:
    assert str(Loss.parse(text)) == text
