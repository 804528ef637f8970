"""The disk of a recording: the image that was flashed, and what lies where on it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.clients.boot_selection import BootSelection
from harness.clients.selection_format import format_of
from harness.crash.disk import ext4
from harness.crash.disk.structures import Structures
from harness.crash.equivalence.copies import CheckedCopy
from harness.crash.equivalence.footprint import Mask, Picture
from harness.crash.equivalence.read_set import ReadSet
from harness.crash.equivalence.slots import SlotImages
from harness.crash.equivalence.tears import Borders
from harness.crash.exploration.prove import Proof, Runs
from harness.crash.recording.log import opened
from harness.crash.recording.phases import INSTALLED_INTO
from harness.crash.recording.recording import Recording
from harness.crash.states.contents import SECTOR, Contents, Ids, digest
from harness.crash.states.disk_content import DiskContent, Image, Sectors
from harness.medium.log import CHANGES
from harness.product.layout import selection_copies
from harness.product.profile import ContentCheck
from harness.product.release import Release


class RecordedDisk:
    """`contents`: those that its states are compared by."""

    def __init__(self, recording: Recording, contents: Contents) -> None:
        self._recording, self.contents = recording, contents
        self.image = Image(contents, recording.base)  # what was flashed
        live = _live(recording)
        self.slots = {
            slot: _slot(contents, recording, slot, live)
            for slot in ("A", "B")
            if f"slot-{slot}" in recording.layout
        }
        self.system = ext4.find(recording.base, recording.layout["data"])
        self.structures = Structures.of(recording.old)
        self.borders = Borders(recording.layout, self.system)
        self.format = format_of(recording.old.product)
        self._said: dict[bytes, BootSelection | None] = {}
        self._copies = [
            (region.offset // SECTOR, region.length // SECTOR)
            for region in selection_copies(recording.layout)
        ]

    def read_set(self) -> ReadSet:
        """What counts before any boot: the judge reads all copies of the boot selection."""
        checked = [
            CheckedCopy(first=first, count=count, whole=self._whole)
            for first, count in self._copies
            if self.format.CHECKSUM
        ]
        size = self._recording.base.stat().st_size
        found = ReadSet(self.contents, size, self.system, checked)
        for first, count in self._copies:
            found.reads[first : first + count] = True
        return found

    def filled(self, content: DiskContent) -> tuple[str, ...]:
        """What fills each slot."""
        return tuple(images.filled(content) for images in self.slots.values())

    def copies(self, content: DiskContent) -> list[bytes]:
        """The bytes of all copies of the boot selection."""
        return [self._bytes(content.numbers(first, count)) for first, count in self._copies]

    def copies_digest(self, content: DiskContent) -> bytes:
        """Of the same."""
        return digest(b"".join(content.numbers(*copy).tobytes() for copy in self._copies))

    def selection(self, picture: Picture, tracked: Sectors) -> str:
        """What each copy of the boot selection says, and which one counts; without how often it has
        been written. `tracked`: the sectors that the picture is of."""
        said = []
        for first, count in self._copies:
            ids = self.image.numbers(first, count)
            here = (tracked >= first) & (tracked < first + count)
            ids[tracked[here] - first] = picture.ids[here]
            said.append(self._parsed(ids))
        counting = self.format.counting(tuple(said))
        which = counting and said.index(counting)
        return repr([which, *(each and replace(each, generation=0) for each in said)])

    def read_by(self, proof: Proof) -> Mask:
        """The sectors that a boot read and that count."""
        sectors = self._recording.sectors
        reads = _mask(proof.reads, sectors)
        for first, count in self._copies:
            reads[first : first + count] = True
        judged = _mask(proof.reads_judged, sectors)
        # What the probe's client reads of what it overwrites, it reads to leave out writes that
        # would change nothing (Mender's BlockFrugalWriter).
        for probe in self._probed(proof):
            reads[probe] = judged[probe]
        return reads

    def read_late(self, proof: Proof) -> Mask:
        """Those that it read only after the judge's verdict."""
        sectors = self._recording.sectors
        late = _mask(proof.reads, sectors) & ~_mask(proof.reads_judged, sectors)
        for probe in self._probed(proof):
            late[probe] = False
        return late

    def _probed(self, proof: Proof) -> Iterator[slice]:
        """Where the probe is written."""
        length = -(-self._recording.probe_slot.size // SECTOR)
        for name, images in self.slots.items():
            if proof.slot and name != proof.slot:
                yield slice(images.first, images.first + length)

    def _parsed(self, ids: Ids) -> BootSelection | None:
        """What a copy says; one in a file takes another program to read."""
        key = digest(ids.tobytes())
        if key not in self._said:
            attempts = self._recording.old.product.promises.attempts
            self._said[key] = self.format.parse(self._bytes(ids), attempts)
        return self._said[key]

    def _whole(self, copy: bytes) -> bool:
        return self.format.variables(copy) is not None

    def _bytes(self, ids: Ids) -> bytes:
        return b"".join(map(self.contents.data, ids.tolist()))


def _mask(runs: Runs, sectors: int) -> Mask:
    found = np.zeros(sectors, np.bool_)
    for sector, count in runs:
        found[sector : sector + count] = True
    return found


def _live(recording: Recording) -> Mask:
    """The sectors of slots that a running system writes there: in the recording, whatever is
    written to a slot but by the installation into it. None, where a slot is judged byte by byte."""
    found = np.zeros(recording.sectors, np.bool_)
    if recording.old.product.slots.content is ContentCheck.EXACT:
        return found
    with opened(recording.log) as log:
        for record in log.records():
            if record.kind not in CHANGES or record.position > recording.end:
                continue
            into = INSTALLED_INTO.get(recording.phase(record.position), "")
            first, end = record.offset // SECTOR, -(-(record.offset + record.length) // SECTOR)
            start, length = (n // SECTOR for n in recording.layout.get(into, (0, 0)))
            if not start <= first < end <= start + length:
                found[first:end] = True
    return found


def _slot(contents: Contents, recording: Recording, slot: str, live: Mask) -> SlotImages:
    def numbers(release: Release) -> Ids:
        path = release.slot_image
        data = path.read_bytes()
        padded = data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
        return contents.ids(padded, path, 0)

    offset, length = recording.layout[f"slot-{slot}"]
    known = {"old": recording.old, "new": recording.new, "bad": recording.bad}
    versions = {name: numbers(release) for name, release in known.items() if release}
    first, sectors = offset // SECTOR, length // SECTOR
    found = SlotImages(
        first=first, sectors=sectors, versions=versions, live=live[first : first + sectors]
    )
    contents.remember(recording.base, offset, contents.of(recording.base, offset, found.size))
    return found
