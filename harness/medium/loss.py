"""Which unflushed writes survive a power cut: a pure function of the writes and the loss.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.medium.files import SECTOR
from harness.medium.model import Loss, LossKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Indexes of the writes that are kept, in order; and of one torn: (index, sectors kept)."""

    kept: tuple[int, ...]
    torn: tuple[int, int] | None = None


def choose(lengths: Sequence[int], loss: Loss, positions: Sequence[int] = ()) -> Choice:
    """The fate of unflushed writes of these lengths (bytes), oldest first.

    `positions`: their log positions, for a loss that names a write; ValueError when it names none
    of them, or keeps no true part of it. The same writes and loss always give the same fate: only
    `Random.random` is used, which Python keeps stable between its versions.
    """
    everything = range(len(lengths))
    if loss.position is not None:
        return _named(lengths, loss, positions)
    if loss.kind is LossKind.NONE:
        return Choice(kept=())
    if loss.kind is LossKind.ALL:
        return Choice(kept=tuple(everything))
    if loss.kind not in (LossKind.SOME, LossKind.TORN):
        raise ValueError(f"{loss.kind} must name a write by its log position")
    coin = random.Random(loss.seed)  # noqa: S311  (a reproducible coin, not a secret)
    kept = [index for index in everything if coin.random() < 0.5]
    if loss.kind is LossKind.SOME:
        return Choice(kept=tuple(kept))
    # A sector is written whole or not at all, so only longer writes can be torn. When the coin
    # kept none of those, one of the lost ones is torn instead: TORN always tears if it can.
    longer = [index for index in everything if lengths[index] > SECTOR]
    candidates = [index for index in longer if index in set(kept)] or longer
    if not candidates:
        return Choice(kept=tuple(kept))
    victim = candidates[int(coin.random() * len(candidates))]
    sectors = 1 + int(coin.random() * (lengths[victim] // SECTOR - 1))
    return Choice(kept=tuple(sorted({*kept, victim})), torn=(victim, sectors))


def _named(lengths: Sequence[int], loss: Loss, positions: Sequence[int]) -> Choice:
    for each in loss.positions:
        if each not in positions:
            some = f"{positions[0]} ... {positions[-1]}" if positions else "none"
            raise ValueError(
                f"{loss}: record {each} is not an unflushed write at this cut"
                f" ({len(positions)} are in doubt: {some})"
            )
    named = tuple(positions.index(each) for each in loss.positions)
    torn = (named[0], loss.sectors) if loss.sectors else None
    if torn and loss.sectors >= lengths[named[0]] // SECTOR:
        raise ValueError(f"{loss}: that write has only {lengths[named[0]] // SECTOR} sectors")
    if loss.kind is LossKind.ONLY:
        return Choice(kept=named, torn=torn)
    everything = range(len(lengths))
    if loss.kind is LossKind.WITHOUT:
        return Choice(kept=tuple(other for other in everything if other not in named))
    return Choice(kept=tuple(everything), torn=torn)
