"""Faults as they are asked for on a command line: which printed form is which."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.boards.capability import Capability
from harness.boards.lab_file import Part
from harness.errors import ConfigurationError
from harness.faults.aim import Sweep
from harness.faults.clock import ClockJump, ClockSet
from harness.faults.manners import ServerFault
from harness.faults.memory import MemoryFault
from harness.faults.network import NetworkFault, NetworkFaultKind, require_order
from harness.faults.power import Changes, CutPhase, PowerFault, trigger
from harness.faults.storage import DataFault, How, MediumFault, Where
from harness.faults.trial import TrialFault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.product.release import Release

_Fault = TypeVar("_Fault")
_SERVER, _MEMORY, _CLOCK, _TRIAL = "server:", "memory:", "clock:", "trial:"
_JUMP = f"{_CLOCK}jump:"
_BEFORE = "trial/"  # of a damaged data partition: before the new version's first boot
_SCENARIOS = {  # who needs another server, or another look at the medium
    "zero-tail:": "--scenario 'torn-selection[zero-tail:32768]'",
    "server:tls": "--scenario 'server[tls-expired]'",
    "jump:": "--fault clock:jump:+3650d",
    "link-down": "--fault trial:link-down",
    "portal": "--fault trial:portal",
}
_NEXT = re.compile(r"(?<!:)\+")  # between two faults; the one of clock:jump:+3650d is its own


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFaults:
    """What was asked for, by where it strikes; `printed` as it was asked for."""

    printed: str
    network: tuple[NetworkFault, ...] = ()
    medium: tuple[MediumFault, ...] = ()
    server: ServerFault | None = None
    before_server: int = 0  # network faults that come to their end before the server answers so
    power: PowerFault | None = None
    memory: MemoryFault | None = None
    clock: ClockSet | None = None
    jump: ClockJump | None = None
    trial: TrialFault | None = None
    before_trial: tuple[DataFault, ...] = ()  # while the board is off, installed, not yet booted
    afterwards: tuple[DataFault, ...] = ()  # the same, when all is over

    @property
    def longest_without_link(self) -> float:
        """Seconds."""
        down = [each.value for each in self.network if each.kind is NetworkFaultKind.LINK_DOWN]
        return max(down, default=0) / 1000

    @property
    def since(self) -> MediumFault | None:
        """The first that says from which phase on the medium fails; all others say the same."""
        return next((each for each in self.medium if each.since), None)

    @property
    def needs(self) -> tuple[Capability | Part, ...]:
        """What a board must be able to do for them."""
        found: list[Capability | Part] = [Capability.MEDIUM_FAIL] if self.medium else []
        if self.since or self.before_trial or self.afterwards:
            found.append(Capability.MEDIUM_READ)
        if self.before_trial or self.afterwards:
            found.append(Capability.MEDIUM_WRITE)
        if self.power:
            found += [Capability.CUT_AT_WRITE, Capability.CHOOSE_LOSS]
        if self.trial is TrialFault.LINK_DOWN or self.longest_without_link:
            found.append(Capability.LINK)
        if self.clock:
            found += [Part.CLOCK, Capability.SET_CLOCK]
        return tuple(found)

    @classmethod
    def parse(cls, printed: str, new: Release) -> "AskedFaults":
        """Of printed forms (docs/faults.md) with `+` between them; a `%` is one of the artifact of
        `new`. ValueError for what is none of them, or cannot be with the others;
        ConfigurationError for a region that `new` has not."""
        if not printed.isascii():
            raise ValueError("faults are printed in ASCII")
        texts = _NEXT.split(printed)
        kinds: dict[str, list[str]] = defaultdict(list)
        for text in texts:
            kinds[_kind(text)].append(text)
        size = new.artifact.stat().st_size
        data = [(each.startswith(_BEFORE), _data(each)) for each in kinds["data"]]
        found = cls(
            printed=printed,
            network=tuple(NetworkFault.parse(each, size=size) for each in kinds["network"]),
            medium=tuple(map(MediumFault.parse, kinds["medium"])),
            server=_one("server", [ServerFault.parse(each) for each in kinds["server"]]),
            before_server=_before_server(texts, size),
            power=_one("power cut", [PowerFault.parse(each) for each in kinds["power"]]),
            memory=_one("memory", [MemoryFault.parse(each) for each in kinds["memory"]]),
            clock=_one("real-time clock", [ClockSet.parse(each) for each in kinds["clock"]]),
            jump=_one("jump", [ClockJump.parse(each[len(_CLOCK) :]) for each in kinds["jump"]]),
            trial=_one("trial", [TrialFault.parse(each) for each in kinds["trial"]]),
            before_trial=tuple(fault for before, fault in data if before),
            afterwards=tuple(fault for before, fault in data if not before),
        )
        found._require_once()
        found.require_possible(new)
        return found

    def require_possible(self, new: Release) -> None:
        """ValueError for what cannot be in one update to `new`."""
        for each in self.medium:
            each.failing(new.layout)
        self._require_own_programs(new)
        self._require_together()
        self._require_phase(new)
        if new.product.promises.downloads == "resumed":
            require_order(self.network)
        size = new.artifact.stat().st_size
        for slow in (each for each in self.network if each.kind is NetworkFaultKind.RATE):
            if size > slow.value * DOWNLOAD_AND_INSTALL_SECONDS:
                most = f"an install has {DOWNLOAD_AND_INSTALL_SECONDS:.0f}"
                raise ValueError(f"{slow}: {size / slow.value:.0f} s for the download, {most}")

    def _require_once(self) -> None:
        """What lasts is there from its beginning on: once more would be nothing more."""
        lasting = [str(each.kind) for each in self.network if each.lasting]
        damage = [*self.before_trial, *self.afterwards]
        beside = Counter([*lasting, *map(str, self.medium), *map(str, damage)])
        if twice := next((text for text, count in beside.items() if count > 1), ""):
            raise ValueError(f"{twice}: asked for twice, in one update it is there once")

    def _require_own_programs(self, new: Release) -> None:
        """What is wanted after these is what the gateway's programs promise."""
        more = (self.clock, self.jump, self.trial, *self.before_trial, *self.afterwards, self.since)
        if new.product.device is not None and (first := next(filter(None, more), None)):
            raise ValueError(f"{first}: only of devices with the gateway's own programs")

    def _require_together(self) -> None:
        """One after the other, or at the same time: none may keep another from its turn."""
        power, trial = self.power, self.trial
        if self.memory and power:
            raise ValueError(f"{power}: {self.memory} may leave nothing to be cut in")
        if trial and power and power.phase is CutPhase.COMMITTED:
            raise ValueError(f"{power}: with {trial.printed} nothing is committed")
        if trial and power and power.phase.during_install:
            raise ValueError(f"{trial.printed}: {power} may leave nothing that is on trial")
        if self.before_trial and power and not power.phase.during_install:
            raise ValueError(f"{power}: {_BEFORE}{self.before_trial[0]} keeps the board off before")

    def _require_phase(self, new: Release) -> None:
        """All of a medium begins to fail at once, and is followed through the boots after it."""
        since = self.since
        if since is None or since.since is None:
            return
        told = {(each.since, each.number) for each in self.medium}
        if len(told) > 1:
            raise ValueError(f"{since}: the rest of the medium must fail from that phase on, too")
        beside = (self.power, self.memory, self.trial and self.trial.printed, *self.before_trial)
        if other := next(filter(None, beside), None):
            raise ValueError(f"{since}: not with {other}: one of them may keep the other away")
        if since.since is CutPhase.ROLLBACK:
            raise ValueError(f"{since}: no bad version is installed: .../commit is the same write")
        if not since.since.is_word:
            nothing = Changes(change=1, half=1, idle=0)
            trigger(since.since, new.layout, "B", new.slot.size, changes=nothing, next_boot=1)


def cuts(aims: Sequence[str], sweep: str, *, bisect: bool) -> list[str]:
    """The scenarios that `--aim`, `--sweep` and `--bisect` ask for. ConfigurationError for what
    is none."""
    try:
        swept = Sweep.parse(sweep) if sweep else None
        times = swept.aims if swept and not bisect else ()
    except ValueError as error:
        raise ConfigurationError(f"--sweep: {error}") from error
    if bisect and swept is None:
        raise ConfigurationError("--bisect: between which cuts?", hint="--sweep 0s..120s/500ms")
    found = [f"aimed-cut[{each}]" for each in aims]
    if swept and bisect:
        return [*found, f"bisected-cuts[{swept}]"]
    return [*found, *(f"aimed-cut[{each}]" for each in times)]


def _kind(text: str) -> str:
    """Which of them it is. ValueError for what cannot be around an update through the proxy: it is
    told what to ask for instead."""
    for beginning, instead in _SCENARIOS.items():
        if text.startswith(beginning) and "@" not in text:
            raise ValueError(f"{text!r} is not for a list of faults: {instead}")
    if _is_medium(text):
        return "medium"
    if text.startswith((_BEFORE, *(f"{how}:" for how in How))):
        return "data"
    if text.startswith(_JUMP):
        return "jump"
    for beginning in (_SERVER, _MEMORY, _CLOCK, _TRIAL):
        if text.startswith(beginning):
            return beginning[:-1]
    return "power" if "/" in text else "network"


def _one(what: str, found: Sequence[_Fault]) -> _Fault | None:
    """The only one; ValueError for more."""
    if len(found) > 1:
        raise ValueError(f"{found[1]}: one update has one {what}")
    return found[0] if found else None


def _data(text: str) -> DataFault:
    try:
        return DataFault.parse(text.removeprefix(_BEFORE))
    except ValueError as error:
        places = ", ".join(Where)
        raise ValueError(f"{text!r} is no damaged block: {error}; one of {places}") from None


def _before_server(texts: Sequence[str], size: int) -> int:
    """How many network faults that come to an end are before the server's in the list."""
    before = list(itertools.takewhile(lambda each: not each.startswith(_SERVER), texts))
    faults = [NetworkFault.parse(each, size=size) for each in before if _kind(each) == "network"]
    return sum(not each.lasting for each in faults)


def _is_medium(text: str) -> bool:
    """`KIND@REGION`: network faults have a number there."""
    place = text.partition("@")[2]
    return bool(place) and not place[0].isdigit()
