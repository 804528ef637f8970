"""The classification against random devices: what it decides for a state is what the device does.

For each state of a small log, made in full by other means (`state.py`), and many devices
(`devices.py`): HARNESS_DEVICES of them for each log, a few without it.
"""

import hashlib
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness.crash.equivalence.copies import CheckedCopy
from harness.crash.equivalence.read_set import ReadSet
from harness.crash.exploration.exploration import Exploration
from harness.crash.recording.phases import Phase
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import parse
from harness.crash.states.sources import Sources, cut_off
from harness.judge.verdict import Verdict
from harness.medium.log import Origin, RecordKind, create_log
from harness.medium.model import Model
from harness.product.layout import MIB
from harness.product.profile import ContentCheck, Slots
from tests.unit.crash import recordings
from tests.unit.crash.devices import Device, Run
from tests.unit.crash.logs import SECTOR, content, losses, records
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, NEW, OLD, Log, proof

DEVICES = int(os.environ.get("HARNESS_DEVICES", "15"))
FREE = (MIB + DATA_SIZE) // SECTOR - 24  # no file is there
COPY = range(FREE + 12, FREE + 15)  # three sectors with a checksum over all
PLACES = (0, 1, *range(FREE, FREE + 12), LAYOUT["slot-B"].offset // SECTOR)
DATA = MIB // SECTOR
SLOT = range(LAYOUT["slot-B"].offset // SECTOR, sum(LAYOUT["slot-B"]) // SECTOR)


def whole(copy: bytes) -> bool:
    return hashlib.sha256(copy[32:]).digest() == copy[:32]


class Disk:
    """The states of one log, in full: position -> content of all sectors that it writes."""

    def __init__(self, found: Recording) -> None:
        self.found, log = found, records(found.log)
        self.base = found.base.read_bytes()
        self.proof = proof(found, 0, "0/all", Verdict.OLD)
        written = {r.offset // SECTOR + n for r in log for n in range(r.length // SECTOR)}
        self.written = sorted(written)
        self.states: dict[str, dict[int, bytes]] = {}
        for at in range(found.start + 1, found.end + 2):
            if log[at - 1].kind is not RecordKind.MARK:
                here = losses(log[:at], Model.DISK)
                for loss in here if len(here) > 2 else here[1:]:
                    self.states[f"{at}/{loss}"] = self._made(f"{at}/{loss}")
        self._recovered: dict[bytes, tuple[int, dict[int, bytes]]] = {}

    def _made(self, state: str) -> dict[int, bytes]:
        sources = Sources(len(self.base), self.found.base)
        cut_off(sources, self.found.log, Model.DISK, parse(state).first)
        found: dict[int, bytes] = {}
        for first, count in runs(self.written):
            data = content(sources, first, count)
            found |= {first + n: data[n * SECTOR : (n + 1) * SECTOR] for n in range(count)}
        return found

    def sector(self, state: str, sector: int) -> bytes:
        known = self.states[state].get(sector)
        return self.base[sector * SECTOR : (sector + 1) * SECTOR] if known is None else known

    def recovered(self, state: str) -> tuple[int, dict[int, bytes]]:
        """What e2fsck makes of the data partition: its exit code, and the last sectors, where
        all is that a device reads."""
        changed = {at: data for at, data in self.states[state].items() if at >= DATA}
        key = hashlib.sha256(b"".join(changed.values())).digest()
        if key not in self._recovered:
            made = bytearray(self.base[MIB : MIB + DATA_SIZE])
            for sector, data in changed.items():
                made[(sector - DATA) * SECTOR : (sector - DATA + 1) * SECTOR] = data
            image = self.found.folder / "data.img"
            image.write_bytes(made)
            done = subprocess.run(["e2fsck", "-p", image], check=False, capture_output=True)
            after = image.read_bytes()
            tail = range(FREE, (MIB + DATA_SIZE) // SECTOR)
            self._recovered[key] = (
                done.returncode,
                {at: after[(at - DATA) * SECTOR : (at - DATA + 1) * SECTOR] for at in tail},
            )
        return self._recovered[key]

    def run(self, device: Device, state: str, *, recover: bool) -> Run:
        """What becomes of a device there; with `recover` after e2fsck, which may give up."""
        if not recover:
            run = device.run(lambda sector: self.sector(state, sector))
            if self.found.old.product.slots.content is not ContentCheck.TREE:
                return run
            return run.by_content("B", b"".join(self.sector(state, each) for each in SLOT))
        code, after = self.recovered(state)
        if code >= 4:
            return Run(Verdict.BRICKED, ())

        def read(sector: int) -> bytes:
            return after[sector] if sector in after else self.sector(state, sector)

        run = device.run(read)
        # What recovery has written the device does not read from the disk.
        untouched = (sector for sector in run.reads if read(sector) == self.sector(state, sector))
        return replace(run, reads=tuple(untouched))


def runs(sectors: list[int]) -> Iterator[tuple[int, int]]:
    ends = [i for i, (a, b) in enumerate(pairwise(sectors), 1) if b != a + 1]
    for begin, end in pairwise([0, *ends, len(sectors)]):
        yield sectors[begin], end - begin


def begun(folder: Path) -> tuple[Recording, Log]:
    found = recordings.recording(folder)
    create_log(found.log, Origin(model="disk", size=found.base.stat().st_size, base="-"))
    return found, Log(found.log)


def ended(found: Recording, log: Log) -> Recording:
    position = log.writer.position
    log.flush().writer.close()
    return replace(found, start=0, end=position, phases=())


def copies(chance: random.Random) -> bytes:
    payload = bytes([chance.randrange(3)]) * (3 * SECTOR - 32)
    return hashlib.sha256(payload).digest() + payload


def scribbled(folder: Path, seed: int) -> Recording:
    """Boot selection, a slot that is filled, single sectors and copies with a checksum."""
    chance, (found, log) = random.Random(seed), begun(folder)
    for _ in range(14):
        what = chance.choices(["free", "copy", "slot", "select", "flush"], [5, 3, 2, 1, 2])[0]
        if what == "free":
            start = chance.randrange(11)
            count = chance.randint(1, min(3, 12 - start))
            data = b"".join(bytes([chance.randrange(4)]) * SECTOR for _ in range(count))
            log.write((FREE + start) * SECTOR, data)
        elif what == "copy":
            log.write(COPY.start * SECTOR, copies(chance))
        elif what == "slot":
            image, half = chance.choice([OLD, NEW]), chance.randrange(2) * 1024
            log.write(LAYOUT["slot-B"].offset + half, image[half : half + 1024])
        elif what == "select":
            block = chance.choice([recordings.BEFORE, recordings.AFTER])
            log.write(chance.randrange(2) * SECTOR, block)
        else:
            log.flush()
    return ended(found, log)


def journalled(folder: Path, seed: int) -> Recording:
    """Two transactions in the journal of the data partition, as debugfs writes them, and then in
    their places, the superblock first: each may be torn."""
    chance, (found, log) = random.Random(seed), begun(folder)
    image = folder / "journalled.img"
    image.write_bytes(found.base.read_bytes())
    script, block = folder / "script", folder / "block"
    targets = [FREE + 2 * n - DATA for n in range(4)]  # blocks of 1 KiB
    for pair in (targets[:2], targets[1:3]):
        writes = ""
        for target in pair:
            path = block.with_name(f"block-{target}-{len(writes)}")
            path.write_bytes(chance.randbytes(1024))
            writes += f"jw -b {target // 2} {path}\n"
        script.write_text(f"jo -c -v 3\n{writes}jc\n")
        subprocess.run(
            ["debugfs", "-w", "-f", script, f"{image}?offset={MIB}"],
            check=True,
            capture_output=True,
        )
    old, new = found.base.read_bytes(), image.read_bytes()
    differs = [at for at in range(0, len(old), 1024) if old[at : at + 1024] != new[at : at + 1024]]
    superblock = MIB + 1024
    assert superblock in differs
    log.write(superblock, new[superblock : superblock + 1024])
    for number, at in enumerate(each for each in differs if each != superblock):
        log.write(at, new[at : at + 1024])
        if number % 3 == seed:
            log.flush()
    log.write(FREE * SECTOR, chance.randbytes(1024))
    return replace(ended(found, log), start=2)


def mounted(folder: Path, seed: int) -> Recording:
    """A slot that is installed, and then mounted for writing."""
    chance, (found, log) = random.Random(seed), begun(folder)
    first, half = SLOT.start * SECTOR, len(NEW) // 2
    log.write(first, NEW[:half]).write(FREE * SECTOR, b"1" * SECTOR).write(first + half, NEW[half:])
    log.flush().select(recordings.AFTER)
    installed = log.writer.position
    for number in range(6):
        place = chance.choice(SLOT)
        log.write(place * SECTOR, bytes([chance.randrange(3)]) * SECTOR)
        log.write((FREE + chance.randrange(3)) * SECTOR, bytes([chance.randrange(3)]) * SECTOR)
        if number % 2:
            log.flush()
    made = ended(found, log)
    phases = (
        Phase(name="install", start=0, end=installed),
        Phase(name="boot-new", start=installed, end=made.end),
    )
    slots = Slots(content=ContentCheck.TREE)
    old = replace(made.old, product=replace(made.old.product, slots=slots))
    return replace(made, old=old, phases=phases)


def explore(
    exploration: Exploration, disk: Disk, device: Device, *, recover: bool, told: bool = True
) -> int:
    """Boot a device until nothing is undecided, and hold what is decided against it; returns the
    number of boots. `told`: which slot its judge has looked at."""
    always = exploration.read_set.reads.copy()
    while left := exploration.undecided():
        state = left[0].kinds[-1].states[-1]
        run = disk.run(device, str(state), recover=recover)
        reads = [(sector, 1) for sector in sorted(run.reads)]
        made = replace(disk.proof, state=state, verdict=run.verdict, reads=reads)
        judged = run.judged if told else ""
        exploration.add(replace(made, reads_judged=reads, judged_slots=judged), sample=False)
    decided = exploration.decided()
    expected: dict[int, Counter[Verdict]] = {}
    for name in disk.states:
        run = disk.run(device, name, recover=recover)
        expected.setdefault(parse(name).first.at, Counter())[run.verdict] += 1
    got = {
        at: sum(
            (Counter({decided[kind.parent].proof.verdict: n}) for kind, n in kinds.items()),
            Counter[Verdict](),
        )
        for at, kinds in exploration.main.points.items()
    }
    assert got == expected, f"device {device.seed}"
    boots = len(exploration.booted)
    exploration.booted.clear()  # the next device is another product: as new, but for the log
    exploration.read_set.reads[:] = always
    exploration._classified = None
    return boots


@pytest.mark.parametrize("seed", range(3))
def test_any_device_ends_as_it_was_decided(tmp_path: Path, seed: int) -> None:
    found = scribbled(tmp_path, seed)
    exploration, disk = Exploration(found, seed=1), Disk(found)
    copy = CheckedCopy(first=COPY.start, count=len(COPY), whole=whole)
    size = found.sectors * SECTOR
    exploration.read_set = ReadSet(exploration.disk.contents, size, exploration.disk.system, [copy])
    exploration.read_set.add_log(exploration.writes[0].sectors)
    exploration.read_set.reads[:2] = True  # the boot selection
    boots = [
        explore(exploration, disk, Device(number, PLACES, [COPY], whole), recover=False)
        for number in range(seed * DEVICES, (seed + 1) * DEVICES)
    ]
    assert 1 < max(boots) < len(disk.states)


@pytest.mark.parametrize("seed", range(3))
def test_any_device_ends_as_it_was_decided_whose_slots_are_mounted(
    tmp_path: Path, seed: int
) -> None:
    """Its judge looks at all of a slot that is in use, and never at the other one. Were that not
    told, states would get verdicts that are not theirs."""
    found = mounted(tmp_path, seed)
    exploration, disk = Exploration(found, seed=1), Disk(found)
    devices = [
        Device(number, PLACES, [], whole) for number in range(seed * DEVICES, (seed + 1) * DEVICES)
    ]
    boots = [explore(exploration, disk, each, recover=False) for each in devices]
    assert 1 < max(boots) < len(disk.states)
    with pytest.raises(AssertionError, match="device"):
        for each in devices:
            explore(exploration, disk, each, recover=False, told=False)


@pytest.mark.parametrize("seed", range(2))
def test_any_device_ends_as_it_was_decided_after_recovery(tmp_path: Path, seed: int) -> None:
    found = journalled(tmp_path, seed)
    exploration, disk = Exploration(found, seed=1), Disk(found)
    places = (0, *range(FREE, FREE + 8))
    boots = [
        explore(exploration, disk, Device(number, places, [], whole), recover=True)
        for number in range(seed * DEVICES, (seed + 1) * DEVICES)
    ]
    assert 1 < max(boots) < len(disk.states)
