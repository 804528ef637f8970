"""Faults as they are asked for on a command line: which printed form is which."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.boards.capability import Capability
from harness.errors import ConfigurationError
from harness.faults.aim import Sweep
from harness.faults.manners import ServerFault
from harness.faults.memory import MemoryFault
from harness.faults.network import NetworkFault, NetworkFaultKind, require_order
from harness.faults.power import PowerFault
from harness.faults.storage import How, MediumFault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.product.release import Release

_SERVER, _MEMORY = "server:", "memory:"
_SCENARIOS = {  # what strikes a board that is off, or only a trial, or cannot be looked into
    "clock:": "clock[1970]",
    "jump:": "clock[jump:+3650d]",
    **{f"{how}:": f"data-fault[{how}:superblock]" for how in How},
    "zero-tail:": "torn-selection[zero-tail:32768]",
    "server:tls": "server[tls-expired]",
    "link-down": "trial[link-down]",
    "portal": "trial[portal]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFaults:
    """What was asked for, by where it strikes; `printed` as it was asked for."""

    printed: str
    network: tuple[NetworkFault, ...]
    medium: tuple[MediumFault, ...]
    server: ServerFault | None
    before_server: int  # network faults that come to their end before the server answers so
    power: PowerFault | None
    memory: MemoryFault | None

    @property
    def longest_without_link(self) -> float:
        """Seconds."""
        down = [each.value for each in self.network if each.kind is NetworkFaultKind.LINK_DOWN]
        return max(down, default=0) / 1000

    @property
    def needs(self) -> tuple[Capability, ...]:
        """What a board must be able to do for them."""
        found = [Capability.MEDIUM_FAIL] if self.medium else []
        if self.power:
            found += [Capability.CUT_AT_WRITE, Capability.CHOOSE_LOSS]
        if any(each.kind is NetworkFaultKind.LINK_DOWN for each in self.network):
            found.append(Capability.LINK)
        return tuple(found)

    @classmethod
    def parse(cls, printed: str, new: Release) -> "AskedFaults":
        """Of printed forms (docs/faults.md) with `+` between them; a `%` is one of the artifact of
        `new`. ValueError for what is none of them, or cannot be with the others;
        ConfigurationError for a region that `new` has not."""
        texts = printed.split("+")
        for text in texts:
            _require_around(text)
        media = [MediumFault.parse(each) for each in texts if _is_medium(each)]
        power = [PowerFault.parse(each) for each in texts if "/" in each]
        servers = [ServerFault.parse(each) for each in texts if each.startswith(_SERVER)]
        memory = [MemoryFault.parse(each) for each in texts if each.startswith(_MEMORY)]
        size = new.artifact.stat().st_size
        network = [NetworkFault.parse(e, size=size) for e in texts if not _is_elsewhere(e)]
        if len(power) > 1 or len(servers) > 1 or len(memory) > 1:
            raise ValueError("one update has one power cut, one server and one memory")
        if memory and power:
            raise ValueError(f"{power[0]}: {memory[0]} may leave nothing to be cut in")
        if new.product.promises.downloads == "resumed":
            require_order(network)
        for slow in (each for each in network if each.kind is NetworkFaultKind.RATE):
            if size > slow.value * DOWNLOAD_AND_INSTALL_SECONDS:
                most = f"an install has {DOWNLOAD_AND_INSTALL_SECONDS:.0f}"
                raise ValueError(f"{slow}: {size / slow.value:.0f} s for the download, {most}")
        for each in media:
            each.failing(new.layout)
        return cls(
            printed=printed,
            network=tuple(network),
            medium=tuple(media),
            server=servers[0] if servers else None,
            before_server=_before_server(texts, size),
            power=power[0] if power else None,
            memory=memory[0] if memory else None,
        )


def cuts(aims: Sequence[str], sweep: str, *, bisect: bool) -> list[str]:
    """The scenarios that `--aim`, `--sweep` and `--bisect` ask for. ConfigurationError for what
    is none."""
    try:
        swept = Sweep.parse(sweep) if sweep else None
    except ValueError as error:
        raise ConfigurationError(f"--sweep: {error}") from error
    if bisect and swept is None:
        raise ConfigurationError("--bisect: between which cuts?", hint="--sweep 0s..120s/500ms")
    found = [f"aimed-cut[{each}]" for each in aims]
    if swept and bisect:
        return [*found, f"bisected-cuts[{swept}]"]
    return [*found, *(f"aimed-cut[{each}]" for each in (swept.aims if swept else ()))]


def _require_around(text: str) -> None:
    """ValueError for a fault that is none around a download through the proxy: it is told which
    scenario has it."""
    for beginning, scenario in _SCENARIOS.items():
        if text.startswith(beginning) and "@" not in text:
            raise ValueError(f"{text!r} is a scenario of its own: --scenario '{scenario}'")


def _before_server(texts: Sequence[str], size: int) -> int:
    """How many network faults that come to an end are before the server's in the list."""
    before = list(itertools.takewhile(lambda each: not each.startswith(_SERVER), texts))
    faults = [NetworkFault.parse(each, size=size) for each in before if not _is_elsewhere(each)]
    return sum(not each.lasting for each in faults)


def _is_elsewhere(text: str) -> bool:
    """Any fault but one of the network."""
    return "/" in text or _is_medium(text) or text.startswith((_SERVER, _MEMORY))


def _is_medium(text: str) -> bool:
    """`KIND@REGION`: network faults have a number there."""
    place = text.partition("@")[2]
    return bool(place) and not place[0].isdigit()
