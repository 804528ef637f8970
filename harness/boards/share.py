"""What a host gave a board that it plays: a board that got no time has not failed.

Linux counts, for each thread, how long it ran and how long it was ready to run and had no CPU
(Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat), and of a virtual machine what its
own host took from it (proc(5), /proc/stat, steal). A guest that waits for something wants no time,
so a hang on a quiet host is told apart from a boot on one that has no time for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from harness import schema
from harness.schema import Seconds

_LEAST = 10.0  # seconds of wanting a CPU, below which nothing can be said
_TOO_MUCH = 1 / 2  # of the time that it wanted, or that the host had
_NS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Seconds that a board's process ran, and in which it waited for a CPU; which share of its time
    the host itself was not given; and what its host's disk did to it, if it was too slow. All zero
    and empty: nobody plays this board."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    ran: Seconds = 0.0
    waited: Seconds = 0.0
    stolen: Seconds = 0.0
    medium: str = ""

    @classmethod
    def worst(cls, boots: Iterable["Share"]) -> "Share":
        """What one of these boots got that got too little, or else the last of them."""
        shares = list(boots)
        return next((each for each in shares if each.starved), shares[-1] if shares else cls())

    @property
    def starved(self) -> bool:
        """Whether what did not happen in time may be the host's fault."""
        wanted = self.ran + self.waited
        late = self.waited > wanted * _TOO_MUCH or self.stolen > _TOO_MUCH
        return bool(self.medium) or (wanted > _LEAST and late)

    def __str__(self) -> str:
        told = f"it had a CPU for {self.ran:.0f} s, and waited {self.waited:.0f} s for one"
        told += f"; {self.stolen:.0%} of the host's time was taken" if self.stolen else ""
        return f"{told}; its medium: {self.medium}" if self.medium else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """What the host of a board says of it since it plays it, in JSON over HTTP: `boots`, one after
    the other; `short`: seconds in which the host's own program got too little (`Pulse`);
    `trouble`: what else keeps it from playing the board, empty: nothing."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    boots: tuple[Share, ...]
    short: Seconds = 0.0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """The host's CPU time so far, in ticks: all of it, and what was stolen."""

    total: int
    stolen: int

    @classmethod
    def now(cls) -> "Clock":
        """As /proc/stat has it: user, nice, system, idle, iowait, irq, softirq, steal."""
        ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(total=sum(ticks), stolen=ticks[7])

    def since(self, before: "Clock") -> float:
        """Which share of the time since then was stolen."""
        return (self.stolen - before.stolen) / max(1, self.total - before.total)


def given(pid: int, since: Clock) -> Share:
    """What the threads of a process got that began at `since`; nothing when it has ended."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            on_cpu, ready, _ = file.read_text().split()
        except (OSError, ValueError):  # that thread has ended
            continue
        ran, waited = ran + int(on_cpu), waited + int(ready)
    stolen = max(0.0, Clock.now().since(since))
    return Share(ran=ran / _NS, waited=waited / _NS, stolen=round(stolen, 3))
