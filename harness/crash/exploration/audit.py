"""Holds what an exploration takes for alike against the real readers: no boots, all kinds.

A boot decides other states by rules about journals, superblocks and boot selections that are this
project's own. So every kind of state that is decided is given to the programs that read the same
bytes on a device (`readers`). All that one boot decides must leave them with the same exit codes,
the same boot selection, and the same content in all that the boot has read. A kind that does not is
taken out of its class: it is then decided by a boot of its own, and the report says so.
"""

import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness import files
from harness.crash.disk.readers import DataReader, Reading, selection
from harness.crash.equivalence.classes import StateKind
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.exploration import Exploration
from harness.crash.recording.recording import Recording
from harness.crash.recording.schema import file_bytes, parsed
from harness.crash.results.results import Audit
from harness.crash.states.contents import SECTOR
from harness.crash.states.cut import CrashState, possible
from harness.crash.states.disk_content import DiskContent
from harness.errors import ConfigurationError
from harness.log import progress
from harness.medium.files import copy_file, copy_range, write_all

Outcome = tuple[object, ...]
FILE = "audit.json"
UNFINISHED = "0" * 64  # covers nothing: something was told apart, and has to be decided first
_HINT = "delete it and explore again"
_AHEAD = 8  # copies of the data partition that wait for e2fsck


def audit(
    exploration: Exploration, work: Mapping[Booted, Sequence[StateKind]], *, threads: int = 2
) -> Audit:
    """Give kinds of states to their readers, for each boot those that it is to decide
    (`Exploration.deciding`); LabError when a reader does not work."""
    total = sum(len(kinds) for kinds in work.values())
    odd: dict[str, str] = {}
    done = 0
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as name:
        bench = _PartitionCopy(exploration, Path(name), threads)
        for by, kinds in work.items():
            own = None if by.carried else exploration.look(by).picture.digest
            others = [kind.states[0] for kind in kinds if kind.picture.digest != own]
            wanted, *found = bench.outcomes(by, others) if others else [()]
            odd |= {
                str(state): _told(wanted, got)
                for state, got in zip(others, found, strict=True)
                if got != wanted
            }
            done += len(kinds)
            progress("audit", done, total)
    return Audit(kinds=total, boots=len(work), covers=covers(exploration), odd=odd)


def covers(exploration: Exploration) -> str:
    """A digest of the recording, of all boots with what they wrote, of what was told apart, and of
    how many kinds and cut points are decided; in whatever order the boots came back."""
    kinds = [kind for each in exploration.deciding().values() for kind in each]
    proofs = (each.proof for each in exploration.deciders)
    boots = sorted((proof.recording, str(proof.state), proof.log.sha256) for proof in proofs)
    told = [exploration.recording.id, boots, len(kinds), sum(kind.count for kind in kinds)]
    text = json.dumps([*told, sorted(map(str, exploration.apart))])
    return hashlib.sha256(text.encode()).hexdigest()


def made(exploration: Exploration) -> Audit | None:
    """The audit of all that is decided now, if there is one."""
    found = load(exploration.recording)
    return found if found and found.covers == covers(exploration) else None


def save(made: Audit, folder: Path) -> None:
    """Keep it with the recording in `folder`: what was told apart stays so."""
    files.write_whole(folder / FILE, json.dumps(asdict(made)).encode() + b"\n")


def load(recording: Recording) -> Audit | None:
    """The last one of a recording, None when there was none; ConfigurationError when it is
    damaged."""
    file = recording.folder / FILE
    if not file.exists():
        return None
    found = parsed(Audit, file_bytes(file, hint=_HINT), file, hint=_HINT)
    if wrong := [state for state in found.odd if not possible(state, recording.end)]:
        raise ConfigurationError(f"{file}: odd: {wrong[0][:80]!r} is no crash state", hint=_HINT)
    return found


def _told(wanted: Outcome, found: Outcome) -> str:
    """What is different, in a line."""
    names = ("e2fsck -n", "e2fsck -p", "e2fsck -fn after it", "content", "boot selection")
    pairs = zip(names, wanted, found, strict=True)
    return "; ".join(f"{name}: {_short(b)}, not {_short(a)}" for name, a, b in pairs if a != b)


def _short(value: object) -> str:
    return value.hex()[:8] if isinstance(value, bytes) else repr(value)[:200]


class _PartitionCopy:
    """One file that holds the data partition of one state after the other; copies of it are given
    to e2fsck."""

    def __init__(self, exploration: Exploration, folder: Path, threads: int) -> None:
        recording = exploration.recording
        self._exploration, self._folder, self._threads = exploration, folder, threads
        self._offset, length = recording.layout["data"]
        self._first, self._count = self._offset // SECTOR, length // SECTOR
        self._reader = DataReader(exploration.disk.system, recording.clock)
        self._selections: dict[bytes, str] = {}
        written = np.concatenate(
            [
                *(each.sectors for each in exploration.writes),
                *(each.content.changed() for each in exploration.carried),
            ]
        )
        inside = (written >= self._first) & (written < self._first + self._count)
        self._sectors = np.unique(written[inside])
        self._ids = exploration.disk.image.at(self._sectors)
        self._now = folder / "now.img"
        with recording.base.open("rb") as source, self._now.open("wb") as target:
            copy_range(source.fileno(), self._offset, target.fileno(), 0, length)

    def outcomes(self, by: Booted, states: Sequence[CrashState]) -> Iterator[Outcome]:
        """What the readers make of the booted state, then of each of the others, in order, where
        that boot has read."""
        runs = self._runs(by)
        waiting = deque[tuple[Future[Reading], str]]()
        bases = (by.content, *map(self._exploration.left, states))
        with ThreadPoolExecutor(self._threads) as pool:
            for number, base in enumerate(bases):
                if len(waiting) > _AHEAD:
                    yield self._landed(*waiting.popleft())
                copy = self._folder / f"{number}.img"
                told = self._bring(base)
                copy_file(self._now, copy)
                waiting.append((pool.submit(self._read, copy, runs), told))
            while waiting:
                yield self._landed(*waiting.popleft())

    def _landed(self, read: "Future[Reading]", told: str) -> Outcome:
        return (*read.result(), told)

    def _read(self, copy: Path, runs: Sequence[tuple[int, int]]) -> Reading:
        try:
            return self._reader.read(copy, runs)
        finally:
            copy.unlink()

    def _runs(self, by: Booted) -> list[tuple[int, int]]:
        """What the boot has read of the data partition, but for the journal: what is left there
        after recovery is read by nobody."""
        system, mask = self._exploration.disk.system, by.reads[: self._first + self._count].copy()
        mask[: self._first] = False
        for block in system.journal:
            mask[system.sector(block) :][: system.sectors_per_block] = False
        edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
        return [(int(first), int(end - first)) for first, end in edges.reshape(-1, 2)]

    def _bring(self, base: DiskContent) -> str:
        """Make the file a state's data partition; what its boot selection says."""
        ids = base.at(self._sectors)
        contents = self._exploration.disk.contents
        with self._now.open("r+b") as stream:
            for at in np.flatnonzero(ids != self._ids).tolist():
                place = int(self._sectors[at] - self._first) * SECTOR
                write_all(stream.fileno(), contents.data(int(ids[at])), place)
        self._ids = ids
        disk = self._exploration.disk
        key = disk.copies_digest(base)
        if key not in self._selections:
            self._selections[key] = self._selection(disk.copies(base))
        return self._selections[key]

    def _selection(self, copies: Sequence[bytes]) -> str:
        """What the bootloader's own tool says of it. What lies in a file is always read by that:
        grub-fstest is GRUB."""
        product = self._exploration.recording.old.product
        if product.selection:
            return repr([self._exploration.disk.format.variables(each) for each in copies])
        return selection(product.bootloader, copies, self._folder)
