"""Which writes of a log are in doubt at a power cut, and which of them a loss keeps.

The same rules as the medium's own power cut (docs/medium.md), worked out a second time from the log
alone: that both agree byte for byte is a test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.crash.states.contents import SECTOR
from harness.crash.states.cut import Cut
from harness.errors import ConfigurationError
from harness.medium.log import CHANGES, LogRecord, RecordKind
from harness.medium.loss import choose
from harness.medium.model import Loss, LossKind, Model


@dataclass(frozen=True, slots=True)
class Doubt:
    """A write that no flush has covered. `promised`: stable all the same (FUA, or an SD card);
    it is listed because it lies over an older write that is not."""

    record: LogRecord
    promised: bool


class WritesInDoubt:
    """Follows a log and knows at each position which writes are in doubt; `window`: of a card, how
    many of those that it has answered."""

    def __init__(self, model: Model, window: int = 0) -> None:
        self._sd, self._window = model is Model.SD, window
        self.writes: list[LogRecord] = []

    def add(self, record: LogRecord) -> list[LogRecord]:
        """The next record. Returns the writes that are stable from now on, oldest first."""
        settled: list[LogRecord] = []
        if record.kind in (RecordKind.FLUSH, RecordKind.CUT):
            settled, self.writes = self.writes, []
        elif record.kind in CHANGES:
            if self._sd:  # what was answered is stable, but for what the card still has in a cache
                count = max(0, len(self.writes) - self._window)
                settled, self.writes = self.writes[:count], self.writes[count:]
            self.writes.append(record)
        return settled

    def doubts(self, window: int | None = None) -> list[Doubt]:
        """Of the writes since the last flush, oldest first; the newest one may be unanswered,
        and is never promised. `window`: a smaller one."""
        count = len(self.writes)
        old = count - 1 - (self._window if window is None else window) if self._sd else 0
        return [
            Doubt(record, promised=(record.fua or index < old) and index < count - 1)
            for index, record in enumerate(self.writes)
        ]


def surviving(doubts: Sequence[Doubt], cut: Cut) -> Iterator[tuple[LogRecord, int | None]]:
    """Of the writes in doubt at a power cut those that reach the medium, in order, and how many
    sectors of each: None for all. ConfigurationError as `kept`."""
    survivors = kept(doubts, cut.loss, at=cut.at)
    for doubt in doubts:
        position = doubt.record.position
        if doubt.promised or position in survivors:
            yield doubt.record, None if doubt.promised else survivors[position]


def kept(doubts: Sequence[Doubt], loss: Loss, *, at: int) -> dict[int, int | None]:
    """Log position of each write in doubt that survives -> sectors of it, None for all.

    ConfigurationError when the loss names a write that is not in doubt.
    """
    length = {d.record.position: d.record.length for d in doubts if not d.promised}
    if loss.kind is LossKind.NONE:
        return {}
    if loss.kind is LossKind.ALL:
        return dict.fromkeys(length)
    if not loss.positions:  # a seeded coin must fall here as it falls in the medium
        fate, order = choose(list(length.values()), loss), list(length)
        found: dict[int, int | None] = dict.fromkeys(order[index] for index in fate.kept)
        return found | ({order[fate.torn[0]]: fate.torn[1]} if fate.torn else {})
    for named in loss.positions:
        if named not in length:
            raise ConfigurationError(
                f"{at}/{loss}: write {named} is not in doubt there",
                hint=f"in doubt are: {', '.join(map(str, length)) or 'none'}",
            )
    first = loss.positions[0]
    if loss.sectors and loss.sectors >= length[first] // SECTOR:
        has = length[first] // SECTOR
        raise ConfigurationError(f"{at}/{loss}: that write has only {has} sectors")
    if loss.kind is LossKind.WITHOUT:
        return {position: None for position in length if position not in loss.positions}
    others = loss.positions if loss.kind is LossKind.ONLY else length
    return dict.fromkeys(others) | ({first: loss.sectors} if loss.sectors else {})
