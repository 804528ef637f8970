"""Power faults as data: in which phase of an update the power goes, and what the medium loses.

A phase becomes a `Trigger` on the medium's own requests, so that a cut strikes at the same write
every time, whatever the speed of the host. The writes of one update, in the order that the
triggers rely on, whatever the bootloader and the client:

    install       slot             the slot image
                  boot selection   idle changes, then the target slot is selected (the switch)
    mark `boot N` by the board's driver, when the board comes out of its reset
    bootloader    boot selection   one change: the boot counter
    user space    data             mounted for writing: superblock and journal
                  boot selection   idle changes, then the commit, or the mark that the slot is bad

The boot selection is one region that spans all its copies; what lies between them is never written
while a board runs. How much each change writes into it is `Changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.errors import ConfigurationError
from harness.medium.model import Event, Loss, Stage, Trigger

Layout = Mapping[str, tuple[int, int]]  # region -> (byte offset, length), as in release.json

MOST_WRITES = 999  # into a boot selection, that are counted
_SELECTION, _DATA = "boot-selection", "data"


class CutPhase(StrEnum):
    """The moments of an update at which power is cut."""

    WRITE_10 = "write:10%"  # that much of the slot image has reached the medium
    WRITE_50 = "write:50%"
    WRITE_90 = "write:90%"
    NTH_SWITCH = "switch-write"  # that write into the boot selection's region after the slot's
    BEFORE_SWITCH = "before-switch"  # the slot is written, nothing selects it
    SWITCH = "switch"  # in the middle of the write that selects it
    ACKNOWLEDGED = "acknowledged"  # the client has just said that it is installed
    BOOTLOADER = "bootloader"  # in the middle of its write, in the next boot
    FIRST_BOOT = "first-boot"  # the new version mounts its data partition
    COMMIT = "commit"  # in the middle of that write
    ROLLBACK = "rollback"  # in the middle of the write that marks the new slot bad
    NTH_BOOT = "boot-write"  # that write into the boot selection's region from the next boot on
    COMMITTED = "committed"  # the device has just said that the new version is well and committed

    @property
    def during_install(self) -> bool:
        """Whether it lies before the reboot into the new version."""
        return self.percent is not None or self in (
            *(CutPhase.BEFORE_SWITCH, CutPhase.SWITCH, CutPhase.NTH_SWITCH, CutPhase.ACKNOWLEDGED),
        )

    @property
    def is_word(self) -> bool:
        """Whether it is a device's word and no write: what was promised then must be kept."""
        return self in (CutPhase.ACKNOWLEDGED, CutPhase.COMMITTED)

    @property
    def is_counted(self) -> bool:
        """Whether a number says which write it is: where a boot selection is a file, nobody knows
        by bytes which one is which."""
        return self in (CutPhase.NTH_SWITCH, CutPhase.NTH_BOOT)

    @property
    def percent(self) -> int | None:
        """How much of the slot image is written, None for phases that do not say so."""
        kind, _, percent = self.partition(":")
        return int(percent.rstrip("%")) if kind == "write" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFault:
    """A power cut in one phase under one loss model; prints as `switch/torn:7`, or with the number
    of a write as `boot-write:3/none`."""

    phase: CutPhase
    loss: Loss
    number: int = 0  # of the write, in a phase that `is_counted`

    def __str__(self) -> str:
        return f"{printed(self.phase, self.number)}/{self.loss}"

    @classmethod
    def parse(cls, text: str) -> "PowerFault":
        """Read the printed form back; raises ValueError."""
        phase, _, loss = text.partition("/")
        found, number = phase_of(phase)
        return cls(phase=found, loss=loss_of(loss), number=number)


def printed(phase: CutPhase, number: int) -> str:
    """What `phase_of` reads back."""
    return f"{phase}:{number}" if phase.is_counted else str(phase)


def phase_of(text: str) -> tuple[CutPhase, int]:
    """A phase, and the number of the write in one that `is_counted`. Raises ValueError."""
    word, _, number = text.partition(":")
    if not any(word == each for each in CutPhase if each.is_counted):
        known = [each for each in CutPhase if not each.is_counted]
        if text not in known:
            raise ValueError(f"{text!r} is no phase of an update: one of {', '.join(known)}")
        return CutPhase(text), 0
    if not (number.isascii() and number.isdecimal()) or not 0 < int(number) <= MOST_WRITES:
        raise ValueError(f"{text!r} is no phase: {word}:N with N of 1 to {MOST_WRITES}")
    return CutPhase(word), int(number)


def loss_of(text: str) -> Loss:
    """What a cut loses whose writes nobody knows before: by a coin, or all alike. ValueError for
    one that names writes, which only a recording has (`harness crash`)."""
    loss = Loss.parse(text)
    if loss.positions or loss.window:
        raise ValueError(f"{text!r} names writes of a recording: none, all, some:SEED, torn:SEED")
    return loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a change of the boot selection writes into its region, in bytes.

    `change` is one change, by bootloader or user space; `half` of it is where a cut is worst;
    `idle` changes that change nothing are made by the update client before each of its own.
    """

    change: int
    half: int
    idle: int


def trigger(
    phase: CutPhase,
    layout: Layout,
    slot: str,
    payload_size: int,
    *,
    changes: Changes,
    next_boot: int,
    number: int = 0,
) -> Trigger:
    """The trigger for `phase`, to be armed while the old version runs, before the install.

    `slot` is the one that is written (A or B), `payload_size` the slot image's size in bytes.
    `next_boot` is the number in the driver's mark `boot N` of the boot that the phase is in: the
    first one after the install; `number` that of the write, where writes are counted. Phases after
    the reboot may be armed later, but before that mark.
    Raises ConfigurationError when the layout lacks a region.
    """
    if phase.percent is not None:
        count = max(1, payload_size * phase.percent // 100)
        return Trigger(stages=(_bytes(layout, f"slot-{slot}", count),))
    written = _bytes(layout, f"slot-{slot}", payload_size)
    booted = Stage(event=Event.MARK, name=f"boot {next_boot}")
    decisive = changes.idle * changes.change + changes.half  # of a change by user space
    match phase:
        case CutPhase.NTH_SWITCH:
            stages = written, _writes(layout, _SELECTION, number)
        case CutPhase.NTH_BOOT:
            stages = booted, _writes(layout, _SELECTION, number)
        case CutPhase.BEFORE_SWITCH:
            return Trigger(stages=(written, _bytes(layout, _SELECTION, 1)), before=True)
        case CutPhase.SWITCH:
            stages = written, _bytes(layout, _SELECTION, decisive)
        case CutPhase.BOOTLOADER:
            stages = booted, _bytes(layout, _SELECTION, changes.half)
        case CutPhase.FIRST_BOOT:
            counted = _bytes(layout, _SELECTION, changes.change)
            return Trigger(stages=(booted, counted, _bytes(layout, _DATA, 1)))
        case _:  # commit and rollback: user space's first change in that boot
            stages = booted, _bytes(layout, _SELECTION, changes.change + decisive)
    return Trigger(stages=stages)


def _writes(layout: Layout, region: str, count: int) -> Stage:
    """So many write requests have touched the region."""
    return replace(_bytes(layout, region, count), event=Event.WRITES)


def _bytes(layout: Layout, region: str, count: int) -> Stage:
    """That many bytes have been written into the region."""
    if region not in layout:
        raise ConfigurationError(
            f"release.json: layout: no region '{region}'", hint="build the release again"
        )
    offset, length = layout[region]
    return Stage(event=Event.BYTES, count=count, offset=offset, length=length)
