"""What may become of a device that is updated, cut and disturbed in any order: the model of a walk.

A walk is a list of events with a printed form (`update,cut:all,reboot`). The model knows which
version runs, and what may be waiting on trial; after each boot one of its answers must be what the
board shows, and which one it was is what the model goes on with.
"""

import random
import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import cycle

from harness.boards.capability import Capability
from harness.faults.power import loss_of
from harness.medium.model import Loss

MOST_EVENTS = 200  # some hours on a fast board
BAD = "bad"  # a version that cannot stay
NOTHING = ""


class WalkEventKind(StrEnum):
    """What happens. Those of INSTALLS ask the device for an update."""

    UPDATE = "update"  # the version that does not run is installed
    SAME = "same"  # the one that runs is installed once more
    PANICS = "panics"  # a version that panics is installed
    FAILS = "fails"  # one whose service fails is
    RESET = "reset"  # as update; the connection is reset twice
    REFUSED = "refused"  # as update; every answer of the server is an error
    FLIP = "flip"  # as update; a byte arrives falsified
    CUT_WRITING = "cut-writing"  # as update; the power goes with half of the slot
    CUT_SWITCHING = "cut-switching"  # as update; in the middle of the switch
    REBOOT = "reboot"
    CUT = "cut"  # the power goes, whatever the device does
    CUT_COUNTING = "cut-counting"  # it reboots; in the bootloader's change
    PORTAL = "portal"  # it reboots, and somebody else answers in its server's name


INSTALLS = (
    *(
        WalkEventKind.UPDATE,
        WalkEventKind.SAME,
        WalkEventKind.PANICS,
        WalkEventKind.FAILS,
        WalkEventKind.RESET,
        WalkEventKind.REFUSED,
        WalkEventKind.FLIP,
    ),
    *(WalkEventKind.CUT_WRITING, WalkEventKind.CUT_SWITCHING),
)
MUST_FAIL = (WalkEventKind.REFUSED, WalkEventKind.FLIP)
CUTS = (
    WalkEventKind.CUT,
    WalkEventKind.CUT_WRITING,
    WalkEventKind.CUT_SWITCHING,
    WalkEventKind.CUT_COUNTING,
)
_LOSSES = ("none", "all", "some:1", "torn:2")
_FORM = re.compile(r"([a-z-]+)(?:/(.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkEvent:
    """One step; `loss` of a power cut."""

    kind: WalkEventKind
    loss: Loss | None = None

    def __str__(self) -> str:
        return f"{self.kind}/{self.loss}" if self.loss else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> "WalkEvent":
        """Read the printed form back; raises ValueError."""
        found = _FORM.fullmatch(text)
        if not found or found[1] not in list(WalkEventKind):
            raise ValueError(f"{text!r} is no event: one of {', '.join(WalkEventKind)}")
        kind = WalkEventKind(found[1])
        if (found[2] is not None) != (kind in CUTS):
            raise ValueError(f"{text!r}: power cuts have a loss (cut/all), nothing else has")
        return cls(kind=kind, loss=loss_of(found[2]) if found[2] else None)


def parse(text: str) -> tuple[WalkEvent, ...]:
    """A walk's printed form, `seed:N` or `seed:NxLENGTH` for a random one, `cover:N` for one of
    `covering`; raises ValueError."""
    if found := re.fullmatch(r"cover:(\d+)", text):
        walks = covering()
        if not 0 < int(found[1]) <= len(walks):
            raise ValueError(f"{text}: there are {len(walks)}")
        return walks[int(found[1]) - 1]
    if found := re.fullmatch(r"seed:(\d+)(?:x(\d+))?", text):
        length = int(found[2] or 8)
        if not 0 < length <= MOST_EVENTS:
            raise ValueError(f"{text}: a walk has 1 to {MOST_EVENTS} events")
        return generate(int(found[1]), length=length)
    events = tuple(map(WalkEvent.parse, text.split(",")))
    if len(events) > MOST_EVENTS:
        raise ValueError(f"{len(events)} events: a walk has 1 to {MOST_EVENTS}")
    return events


def generate(seed: int, *, length: int) -> tuple[WalkEvent, ...]:
    """A walk of `length` events. Half of them are boots, or nothing would ever be tried."""
    coin = random.Random(seed)  # noqa: S311 - a walk is no secret
    boots = (
        WalkEventKind.REBOOT,
        WalkEventKind.REBOOT,
        WalkEventKind.CUT,
        WalkEventKind.CUT_COUNTING,
        WalkEventKind.PORTAL,
    )
    kinds = [coin.choice(coin.choice((INSTALLS, boots))) for _ in range(length)]
    return tuple(
        WalkEvent(kind=kind, loss=Loss.parse(coin.choice(_LOSSES)) if kind in CUTS else None)
        for kind in kinds
    )


def needs(events: Sequence[WalkEvent]) -> tuple[Capability, ...]:
    """What a board must be able to do for them."""
    aimed = any(each.kind in CUTS and each.kind is not WalkEventKind.CUT for each in events)
    cut = any(each.kind in CUTS for each in events)
    return (
        *([Capability.CHOOSE_LOSS] if cut else ()),
        *([Capability.CUT_AT_WRITE] if aimed else ()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """`runs`: the committed version, `old` or `new`. `waits`: what may be installed for the next
    boot to try; more than one where a power cut came in between. `half`: what an install was of
    that the power ended, until another one comes to its end. `only_newer`: it refuses to go back
    from `new` to `old`, and is right."""

    runs: str = "old"
    waits: frozenset[str] = frozenset({NOTHING})
    half: str = NOTHING
    only_newer: bool = False

    def target(self, kind: WalkEventKind) -> str:
        """The version that an event installs, or would if it were taken. Power cuts strike what is
        taken: where the other version is not, the one that runs, once more."""
        if kind in (WalkEventKind.PANICS, WalkEventKind.FAILS):
            return BAD
        stays = kind is WalkEventKind.SAME or (kind in CUTS and self._is_newest)
        other = "new" if self.runs == "old" else "old"
        return self.runs if stays else other

    def must_refuse(self, kind: WalkEventKind) -> bool:
        """Whether an install must end in an error: of what does not arrive, or is older."""
        older = self._is_newest and self.target(kind) == "old"
        return kind in MUST_FAIL or older

    @property
    def _is_newest(self) -> bool:
        return self.only_newer and self.runs == "new"

    def installed(self, kind: WalkEventKind, *, ok: bool) -> "Device":
        """After an install that has ended. One that failed may have cost what was waiting."""
        waits = {self.target(kind)} if ok else {*self.waits, NOTHING}
        return replace(self, waits=frozenset(waits), half=NOTHING if ok else self.half)

    def cut(self, kind: WalkEventKind) -> "Device":
        """After an install that the power ended."""
        target = self.target(kind)
        return replace(self, waits=frozenset({*self.waits, NOTHING, target}), half=target)

    def may_run(self, *, portal: bool = False) -> frozenset[str]:
        """What may run, committed, when the next boot has come to its end."""
        stay = {NOTHING, BAD}
        return frozenset(self.runs if portal or each in stay else each for each in self.waits)

    def must_try(self, *, portal: bool = False) -> bool:
        """Whether the next boot must be the only one, in just what waits: a device that goes back
        to what it ran before has installed something else than it was told."""
        return not portal and len(self.waits) == 1 and BAD not in self.waits

    def booted(self, version: str) -> "Device":
        """After a boot that ended in `version`."""
        half = NOTHING if version == self.half != self.runs else self.half
        return Device(runs=version, half=half, only_newer=self.only_newer)

    @property
    def state(self) -> str:
        """What waits for the next boot, in one word: one of STATES."""
        if len(self.waits) > 1:
            return "unsure"
        [waits] = self.waits
        if not waits:
            return INTERRUPTED if self.half else "nothing"
        return {BAD: "bad", self.runs: "same"}.get(waits, "other")

    def after(self, kind: WalkEventKind) -> "Device":
        """As it should be after an event that comes to its end."""
        if kind in INSTALLS and kind not in CUTS:
            return self.installed(kind, ok=not self.must_refuse(kind))
        before = self.cut(kind) if kind in INSTALLS else self
        may = before.may_run(portal=kind is WalkEventKind.PORTAL)
        return before.booted(next(iter(may)) if len(may) == 1 else self.runs)


INTERRUPTED = "interrupted"  # nothing, and an install was cut
STATES = ("nothing", "other", "same", "bad", "unsure", INTERRUPTED)


@cache
def covering(length: int = 8) -> tuple[tuple[WalkEvent, ...], ...]:
    """Walks of at most that many events in which each event comes in each of STATES. What is
    installed after an interrupted install is booted next: so it shows what it is."""
    left = {(state, kind) for state in STATES for kind in WalkEventKind}
    losses, walks = cycle(_LOSSES), []
    while left:
        device, walk = Device(), list[WalkEvent]()
        while left and (way := _way_to(left, device))[: length - len(walk)] == way:
            for kind in way:
                left.discard((device.state, kind))
                device = device.after(kind)
                loss = Loss.parse(next(losses)) if kind in CUTS else None
                walk.append(WalkEvent(kind=kind, loss=loss))
        walks.append(tuple(walk))
    return tuple(walks)


def _way_to(
    wanted: Collection[tuple[str, WalkEventKind]], device: Device
) -> tuple[WalkEventKind, ...]:
    """The shortest way from there to an event that is wanted in its state, that event included."""
    ways: deque[tuple[tuple[WalkEventKind, ...], Device]] = deque([((), device)])
    seen = set[Device]()
    while True:
        way, there = ways.popleft()
        if there in seen:
            continue
        seen.add(there)
        for kind in WalkEventKind:
            if (there.state, kind) in wanted:
                shows = there.state == INTERRUPTED and kind in INSTALLS and kind not in CUTS
                return (*way, kind, WalkEventKind.REBOOT) if shows else (*way, kind)
        ways.extend(((*way, kind), there.after(kind)) for kind in WalkEventKind)


def shorter(events: Sequence[WalkEvent]) -> list[tuple[WalkEvent, ...]]:
    """The walk with one event left out, for each of them: from the last on."""
    return [(*events[:n], *events[n + 1 :]) for n in reversed(range(len(events)))]
