"""How long each phase of a recorded update took, and how many real cuts it takes to meet it.

Who cuts a real board at a random time of the whole update meets a short phase once in thousands of
cuts; who aims at it meets it as often as the relay lets him. Both are told for 95 %.
"""

import math
from dataclasses import dataclass

from harness.crash.recording.log import opened
from harness.crash.recording.recording import Recording

_MISSED = 0.05  # the chance that none of so many cuts meets the phase
_NS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLength:
    """A phase of `seconds`, of an update of `of` seconds."""

    name: str
    seconds: float
    of: float

    @property
    def random(self) -> int:
        """Cuts at random times of the update, to meet it once."""
        return _needed(self.seconds / self.of)

    def aimed(self, jitter: float) -> int:
        """Cuts that are aimed at its middle and strike with that standard deviation."""
        if jitter <= 0:
            return 1
        return _needed(math.erf(self.seconds / 2 / (jitter * math.sqrt(2))))


def phase_lengths(recording: Recording) -> list[PhaseLength]:
    """Of all its phases but those before the update, from the times in its log."""
    phases = [each for each in recording.phases if each.start >= recording.start]
    edges = {edge for each in phases for edge in (each.start, each.end)}
    times: dict[int, int] = {}
    with opened(recording.log) as log:
        for record in log.records():
            last = record
            if record.position in edges:
                times[record.position] = record.monotonic_ns
    times = {edge: times.get(edge, last.monotonic_ns) for edge in edges}
    found = [(each.name, (times[each.end] - times[each.start]) / _NS) for each in phases]
    whole = sum(seconds for _, seconds in found)
    return [PhaseLength(name=name, seconds=seconds, of=whole) for name, seconds in found]


def _needed(chance: float) -> int:
    """Tries of that chance, for one to succeed with 95 %; 0: there is no end to them."""
    if chance >= 1:
        return 1
    if chance <= 0:
        return 0
    return max(1, math.ceil(math.log(_MISSED) / math.log1p(-chance)))
