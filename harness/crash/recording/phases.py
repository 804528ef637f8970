"""Which part of an update a log position belongs to: from marks, boots and writes, never guessed.

While it records, `harness.crash.record` writes marks for what it does itself, and the board's
driver one for each boot (`boot N`). What only the device knows is read off its writes: their order
is the one of `harness.faults.power`. A phase lasts until the next one begins; one whose first write
never came (a bad version in a negative control) is left out.

    boot-old  install  switch  installed  reboot  bootloader  boot-new  commit  settled
    install-2  switch-2  installed-2  reboot-2  bootloader-2  boot-trial  reject
    bootloader-3  rolled-back

`factory` comes before all of them: the first boot of the flashed image, to its health; and
`provision`: what the harness does to the device then, up to the start.

`switch` is every write to the boot selection after the slot's last one while the client installs,
with the flush that follows; when none comes after it (a client that selects what it has not
written yet), every such write. `bootloader` ends with user space's first write to the data
partition; `commit` and `reject` are user space's writes to the boot selection in that boot.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from harness.crash.recording.log import opened
from harness.crash.recording.schema import STRICT, Count
from harness.errors import ConfigurationError
from harness.medium.log import CHANGES, LogRecord, RecordKind
from harness.product.layout import Region

START, END = "record: start", "record: end"
INSTALL, INSTALLED, REBOOT, HEALTHY = (
    f"record: {word}" for word in ("install", "installed", "reboot", "healthy")
)
PROVISION = "record: provision"
FACTORY, PROVISIONING = "factory", "provision"
_SELECTION, _DATA = "boot-selection", "data"


# Phases in which an installation writes a slot: the old version is in slot A.
INSTALLED_INTO = {
    "install": "slot-B",
    "switch": "slot-B",
    "install-2": "slot-A",
    "switch-2": "slot-A",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Log records from position `start` to before `end`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    start: Count
    end: Count


@dataclass(frozen=True, slots=True)
class Span:
    """All that the recorded update wrote, and what it is made of."""

    start: int
    end: int
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Log records after each of which the power may go. `factory`: in a device's first boot, with
    nothing from its site yet, so that other questions are asked of it."""

    records: range
    factory: bool = False


EVERYWHERE = Stretch(range(sys.maxsize))


def find(log: Path, layout: Mapping[str, Region]) -> Span:
    """The span between the marks START and END of a log, and its phases.

    ConfigurationError when the log has not got the marks.
    """
    with opened(log) as reader:
        records = list(reader.records())
        marks = {
            record.position: reader.text(record)
            for record in records
            if record.kind is RecordKind.MARK
        }
    bounds = [position for position, name in marks.items() if name in (START, END)]
    if [marks[position] for position in bounds] != [START, END]:
        raise ConfigurationError(
            f"{log}: no complete recording", hint="record it again: harness crash record"
        )
    start, end = bounds
    borders = _factory(marks, start) + _borders(records[start:end], marks, layout)
    return Span(start, end, _named(borders, end))


def _factory(marks: Mapping[int, str], start: int) -> list[tuple[str, int]]:
    """The first boot and what follows it, of a recording that has its end marked."""
    healthy = [at for at, name in marks.items() if name == PROVISION and at < start]
    return [(FACTORY, 0), (PROVISIONING, healthy[0])] if healthy else []


def _borders(
    records: Sequence[LogRecord], marks: Mapping[int, str], layout: Mapping[str, Region]
) -> list[tuple[str, int]]:
    """(name, first position) of each phase, in order."""
    first, end = records[0].position, records[-1].position + 1
    borders = [("boot-old", first)]
    own = [(position, name) for position, name in marks.items() if first < position < end]
    kind = ""  # of the boots that come: the update's, then the trial that fails, then back
    for (position, name), limit in zip(own, [*(p for p, _ in own[1:]), end], strict=True):
        part = records[position - first : limit - first]
        if name == INSTALL:
            target = INSTALLED_INTO["install-2" if kind else "install"]
            kind = "boot-trial" if kind else "boot-new"
            borders.append(("install", position))
            borders += _switch(part, layout, target)
        elif name == REBOOT:
            borders.append(("reboot", position))
        elif name == HEALTHY:
            borders.append(("settled", position))
        elif name.startswith("boot ") and kind:
            borders.append(("bootloader", position))
            borders += _booted(part, layout, kind)
            kind = "rolled-back" if kind == "boot-trial" else kind
    return borders


def _switch(
    part: Sequence[LogRecord], layout: Mapping[str, Region], target: str
) -> list[tuple[str, int]]:
    """The change of the boot selection that makes a version, installed in the region `target`, the
    next one to boot."""
    slot = layout.get(target)
    written = [r.position for r in part if slot and _touches(r, slot)]
    after = [r for r in part if written and r.position > written[-1]]
    return _change(after, layout, "switch", "installed") or _change(
        part, layout, "switch", "installed"
    )


def _booted(
    part: Sequence[LogRecord], layout: Mapping[str, Region], kind: str
) -> list[tuple[str, int]]:
    """User space's part of one boot."""
    mounted = [record for record in part if _touches(record, layout[_DATA])]
    if not mounted:
        return []
    later = part[mounted[0].position - part[0].position :]
    changed = {"boot-new": "commit", "boot-trial": "reject"}.get(kind)
    change = _change(later, layout, changed, "") if changed else []
    return [(kind, mounted[0].position), *change]


def _change(
    part: Sequence[LogRecord], layout: Mapping[str, Region], name: str, after: str
) -> list[tuple[str, int]]:
    """A change of the boot selection, and what comes after it is stable."""
    touching = [r.position for r in part if _touches(r, layout[_SELECTION])]
    if not touching:
        return []
    flushes = [r.position for r in part if r.kind is RecordKind.FLUSH and r.position > touching[-1]]
    stable = (flushes[0] if flushes else touching[-1]) + 1
    return [(name, touching[0]), *([(after, stable)] if after else [])]


def _touches(record: LogRecord, region: Region) -> bool:
    return (
        record.kind in CHANGES
        and record.offset < region.offset + region.length
        and region.offset < record.offset + record.length
    )


def _named(borders: Sequence[tuple[str, int]], end: int) -> tuple[Phase, ...]:
    """Phases with names of their own (`install-2`); empty ones are left out."""
    seen: Counter[str] = Counter()
    phases = []
    for (name, start), limit in zip(borders, [*(p for _, p in borders[1:]), end], strict=True):
        if start < limit:
            seen[name] += 1
            number = f"-{seen[name]}" if seen[name] > 1 else ""
            phases.append(Phase(name=f"{name}{number}", start=start, end=limit))
    return tuple(phases)


def broken_phases(phases: tuple[Phase, ...], start: int, end: int) -> Iterator[str]:
    """Phases cover a recording from its start to its end, each with a name of its own; before the
    start there may be the factory's first boot, and the provisioning, together from record 0."""
    before = [each for each in phases if each.end <= start]
    if before and (before[0].start or [each.name for each in before] != [FACTORY, PROVISIONING]):
        yield "phases: before the start there is something else than the first boot from record 0"
    first = before[0].start if before else start
    borders = [first, *(border for each in phases for border in (each.start, each.end)), end]
    touching = all(
        before == after for before, after in zip(borders[::2], borders[1::2], strict=True)
    )
    known = start in {each.start for each in phases}
    if not touching or not known or any(each.start >= each.end for each in phases):
        yield f"phases: do not cover all from start {start:,} to end {end:,} one after the other"
    if len({each.name for each in phases}) != len(phases):
        yield "phases: a name occurs twice"
