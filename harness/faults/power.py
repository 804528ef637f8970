"""Power faults as data: in which phase of an update the power goes, and what the medium loses.

A phase becomes a `Trigger` on the medium's own requests, so that a cut strikes at the same write
every time, whatever the speed of the host. The writes of one update, in the order that the
triggers rely on (RAUC 1.8 `src/install.c`, images/legacy-gateway):

    install       boot selection 1, 2   the target slot is marked bad
                  slot                  the slot image
                  boot selection 1, 2   the target slot is made primary (the switch)
    mark `boot N` by the board's driver, when the board comes out of its reset
    GRUB          boot selection 1, 2   the boot counter, one sector each
    user space    data                  mounted for writing: superblock and journal
                  boot selection 1, 2   the commit, or the mark that the slot is bad
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.boards.medium.model import Event, Loss, Stage, Trigger
from harness.errors import ConfigurationError

Layout = Mapping[str, tuple[int, int]]  # region -> (byte offset, length), as in release.json

_FIRST, _SECOND, _DATA = "boot-selection-1", "boot-selection-2", "data"


class Phase(StrEnum):
    """The moments of an update at which power is cut."""

    WRITE_10 = "write:10%"  # that much of the slot image has reached the medium
    WRITE_50 = "write:50%"
    WRITE_90 = "write:90%"
    BEFORE_SWITCH = "before-switch"  # the slot is written, the first copy of the switch is not
    SWITCH = "switch"  # between the switch's two copies
    BOOTLOADER = "bootloader"  # between GRUB's two copies, in the next boot
    FIRST_BOOT = "first-boot"  # the new version mounts its data partition
    COMMIT = "commit"  # between the two copies of the commit
    ROLLBACK = "rollback"  # between the two copies of the write that marks the new slot bad

    @property
    def during_install(self) -> bool:
        """Whether it lies before the reboot into the new version."""
        return self.percent is not None or self in (Phase.BEFORE_SWITCH, Phase.SWITCH)

    @property
    def percent(self) -> int | None:
        """How much of the slot image is written, None for phases that do not say so."""
        kind, _, percent = self.partition(":")
        return int(percent.rstrip("%")) if kind == "write" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFault:
    """A power cut in one phase under one loss model; prints as `switch/torn:7`."""

    phase: Phase
    loss: Loss

    def __str__(self) -> str:
        return f"{self.phase}/{self.loss}"

    @classmethod
    def parse(cls, text: str) -> "PowerFault":
        """Read the printed form back; raises ValueError."""
        phase, _, loss = text.partition("/")
        return cls(phase=Phase(phase), loss=Loss.parse(loss))


def trigger(
    phase: Phase, layout: Layout, slot: str, payload_size: int, *, next_boot: int
) -> Trigger:
    """The trigger for `phase`, to be armed while the old version runs, before the install.

    `slot` is the one that is written (A or B), `payload_size` the slot image's size in bytes.
    `next_boot` is the number in the driver's mark `boot N` of the boot that the phase is in: the
    first one after the install; for a rollback by the boot counter, the one that the old slot
    comes up in. Phases after the reboot may be armed later, but before that mark. Raises
    ConfigurationError when the layout lacks a region.
    """
    if phase.percent is not None:
        count = max(1, payload_size * phase.percent // 100)
        return Trigger(stages=(_stage(Event.BYTES, layout, f"slot-{slot}", count),))
    written = _stage(Event.BYTES, layout, f"slot-{slot}", payload_size)
    booted = Stage(event=Event.MARK, name=f"boot {next_boot}")
    first, second, data = (_stage(Event.WRITES, layout, name) for name in (_FIRST, _SECOND, _DATA))
    match phase:
        case Phase.BEFORE_SWITCH:
            return Trigger(stages=(written, first), before=True)
        case Phase.SWITCH:
            return Trigger(stages=(written, first))
        case Phase.BOOTLOADER:
            return Trigger(stages=(booted, first))
        case Phase.FIRST_BOOT:
            return Trigger(stages=(booted, second, data))
        case _:  # commit and rollback: user space's first boot selection write in that boot
            return Trigger(stages=(booted, second, first))


def _stage(event: Event, layout: Layout, region: str, count: int = 1) -> Stage:
    if region not in layout:
        raise ConfigurationError(
            f"release.json: layout: no region '{region}'", hint="build the release again"
        )
    offset, length = layout[region]
    return Stage(event=event, count=count, offset=offset, length=length)
