"""Counts the events of an armed trigger, inside the write path, one stage after the other.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

from harness.medium.model import Event, Stage, Trigger


class Watch:
    """One armed trigger. An event counts for the current stage only, never for two."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self._stages = list(trigger.stages)
        self._count = 0

    def written(self, offset: int, length: int) -> bool:
        """Count a write request; True when it completes the last stage."""
        if not self._stages:
            return False
        stage = self._stages[0]
        inside = _overlap(stage, offset, length)
        if stage.event is Event.BYTES:
            return self._add(inside)
        if stage.event is Event.WRITES and inside:
            return self._add(1)
        return False

    def marked(self, name: str) -> bool:
        """Count a mark; True when it completes the last stage."""
        if not self._stages:
            return False
        stage = self._stages[0]
        return stage.event is Event.MARK and stage.name == name and self._add(1)

    def _add(self, amount: int) -> bool:
        if amount == 0:
            return False
        self._count += amount
        if self._count < self._stages[0].count:
            return False
        self._stages.pop(0)
        self._count = 0
        return not self._stages


def _overlap(stage: Stage, offset: int, length: int) -> int:
    """Bytes of a request inside the stage's region; a region of length 0 is the whole medium."""
    if stage.length == 0:
        return length
    first = max(offset, stage.offset)
    last = min(offset + length, stage.offset + stage.length)
    return max(0, last - first)
