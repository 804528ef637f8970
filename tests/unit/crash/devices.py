"""Random devices: what becomes of one is a function of what it reads, and of nothing else.

It reads a sector, and what is in it decides which one comes next, or how it ends. What it has
written itself it reads back; that is not read of the disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from harness.judge.verdict import Verdict

_VERDICTS = list(Verdict)
_WRITES, _ENDS = 40, 30  # of 256
_STEPS = 8


@dataclass(frozen=True)
class Run:
    """One device on one state."""

    verdict: Verdict
    reads: tuple[int, ...]  # sectors
    judged: str = ""  # the slot whose whole content its judge has looked at

    def by_content(self, slot: str, content: bytes) -> "Run":
        """The same, of a device that is well in a slot, or not: then its judge holds all that the
        slot has against what it knows."""
        if self.verdict not in _VERDICTS[:3]:
            return self
        said = blake2b(self.verdict.encode() + content, digest_size=1).digest()[0]
        return Run(_VERDICTS[said % len(_VERDICTS)], self.reads, slot)


@dataclass(frozen=True)
class Device:
    """`places`: sectors that it may read, each by itself; `copies`: runs of sectors that only count
    together, and only when `whole` says so of their bytes."""

    seed: int
    places: Sequence[int]
    copies: Sequence[range]
    whole: Callable[[bytes], bool]

    def run(self, read: Callable[[int], bytes]) -> Run:
        """`read` gives the bytes of a sector."""
        own: dict[int, bytes] = {}
        seen: list[int] = []
        state = self._next(self.seed.to_bytes(8), b"")
        for _ in range(2 + state[4] % _STEPS):
            which = state[0] % (len(self.places) + len(self.copies))
            if which >= len(self.places):
                copy = self.copies[which - len(self.places)]
                seen += copy
                content = b"".join(map(read, copy))
                state = self._next(state, content if self.whole(content) else b"torn")
                continue
            sector = self.places[which]
            if state[1] < _WRITES:
                own[sector] = state
                state = self._next(state, b"written")
                continue
            if sector not in own:
                seen.append(sector)
            state = self._next(state, own[sector] if sector in own else read(sector))
            if state[2] < _ENDS:
                break
        return Run(_VERDICTS[state[3] % len(_VERDICTS)], tuple(dict.fromkeys(seen)))

    def _next(self, state: bytes, read: bytes) -> bytes:
        return blake2b(state + b"|" + read, digest_size=16).digest()
