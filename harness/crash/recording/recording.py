"""A recording: one real update and one rollback of a board, as everything that it wrote.

A folder that `harness crash record` makes and all other `harness crash` commands read:

    recording.json   what this module describes
    log.bin          the medium's write log since flashing; with the old version's disk image it is
                     every content that the medium has ever had (harness.medium.replay)
    probe.*          a small signed update: what a board that came through a cut must still install
    console/         one console log for each recorded boot
    events.jsonl     the steps of recording

The releases stay where they are and are named by folder; the recording is of use only with them.
recording.json has the SHA-256 of all that it needs: of its own files, and, with the whole of each
release.json, of the releases' files. Whoever loads a recording compares names and sizes; whoever
makes a verdict or signs one compares contents (`verify`).
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from harness import files
from harness.boards.board import Board
from harness.boards.lab_file import described
from harness.crash.recording import digests
from harness.crash.recording import phases as phase_finder
from harness.crash.recording.log import opened
from harness.crash.recording.phases import FACTORY, Phase, Stretch, broken_phases
from harness.crash.recording.schema import (
    STRICT,
    TCG,
    Accelerated,
    AwareDatetime,
    Count,
    file_bytes,
    parsed,
)
from harness.errors import ConfigurationError, HarnessError
from harness.judge.identity import Identity
from harness.judge.verdict import Invariant, Verdict
from harness.medium.log import HEADER
from harness.medium.model import Model
from harness.product import release as releases
from harness.product.layout import Region
from harness.product.release import Digest, Release

FILE = "recording.json"
LOG = "log.bin"
CONSOLE = "console"
EVENTS = "events.jsonl"
PROBE = "probe"  # and the suffix of the artifact's kind
SCHEMA = 4  # since 4 the site's data have owners, modes, and what is hidden
_HINT = "put back what was recorded, or record it again: harness crash record"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOutcome:
    """What the judge said in the recording itself: of the `update` and of the `rollback`."""

    name: str
    verdict: Verdict
    final: str  # "old" or "new"
    broken: tuple[Invariant, ...]  # empty, but for a version that was made bad on purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`start` and `end` are log positions: the power-on with the old version, provisioned, and its
    health after the rollback. Cut points are all positions from `start` to `end`, and those of the
    factory's first boot (`stretches`)."""

    folder: Path = field(compare=False)
    machine: str
    board: str
    model: str  # of the medium: disk or sd
    lab: Path
    bench: str  # what the lab file says of the board (`harness.boards.lab.described`)
    old: Release
    new: Release
    bad: Release | None = None  # what was rolled back; none: the new version, without a network
    newer: Release | None = None  # whose update the probe is; none: see `probe.make`
    files: Mapping[str, Digest]  # of the log and the probe, see `own_files`
    start: int
    end: int
    phases: tuple[Phase, ...]
    server_port: int  # of the update server that the board knows
    clock: datetime  # UTC; what a board's clock shows when one of the states is booted
    seed: int  # of the randomness that QEMU gives to such a board
    outcomes: tuple[RecordedOutcome, ...]
    probe_slot: Digest  # what the probe makes of the slot that it is installed in
    identity: Identity  # of the device, when it had been provisioned
    accelerator: str = TCG  # what executed its instructions; before it was told, always that one

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Where the cut points are. What the harness itself does to the device between its first
        boot and the start, provisioning, has none."""
        first = [range(each.start, each.end) for each in self.phases if each.name == FACTORY]
        rest = Stretch(range(self.start, self.end + 1))
        return (*(Stretch(each, factory=True) for each in first), rest)

    def require_bench(self) -> None:
        """ConfigurationError when the lab file has another board by now: its boots are none of the
        one that was recorded."""
        if described(self.lab, self.board) != self.bench:
            raise ConfigurationError(
                f"{self.lab}: targets.{self.board.partition('@')[0]}: not the board any more that"
                f" {self.folder} was recorded on",
                hint="put it back as it was, or record again",
            )

    def require_accelerator(self, found: str, what: str) -> None:
        """ConfigurationError when `what` has another one: boots are only alike under the same."""
        if found != self.accelerator:
            raise ConfigurationError(
                f"{what}: its boots are under {found}, those of {self.folder} under"
                f" {self.accelerator}",
                hint="accel in the lab file says which; what is not the same is never mixed",
            )

    def require_cut(self, at: int) -> None:
        """ConfigurationError when a cut after `at` records is none that this recording is about."""
        if not any(at - 1 in stretch.records for stretch in self.stretches):
            spans = " and ".join(
                f"{s.records.start + 1} to {s.records[-1] + 1}" for s in self.stretches
            )
            raise ConfigurationError(
                f"{self.folder}: there is no cut point after {at} records",
                hint=f"there are from {spans}; `--console` boots any state",
            )

    def in_factory(self, at: int) -> bool:
        """Whether a cut after `at` records is one in the first boot: nothing was provisioned."""
        return self.phase(at - 1) == FACTORY

    @property
    def id(self) -> str:
        """SHA-256 of all that was recorded: what proofs and results name. Where on a machine
        releases and lab file lie is no part of it."""
        content = self.to_json()
        del content["lab"]
        for which in ("old", "new", "bad", "newer"):
            content.get(which, {}).pop("folder", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def base(self) -> Path:
        """The image that was flashed."""
        return self.old.disk_image

    @property
    def sectors(self) -> int:
        """Of the disk, 512 bytes each."""
        return self.old.files[self.base.name].size // 512

    @property
    def log(self) -> Path:
        """The write log."""
        return self.folder / LOG

    @property
    def console(self) -> Path:
        """Console logs of the recorded boots."""
        return self.folder / CONSOLE

    @property
    def probe(self) -> Path:
        """The small update."""
        return self.folder / f"{PROBE}{Path(self.old.artifact_name).suffix}"

    @property
    def probe_version(self) -> Release | None:
        """What the probe installs, when that is a version and not noise."""
        return self.newer or (self.old if self.probe_slot == self.old.slot else None)

    @property
    def releases(self) -> Iterator[Release]:
        """All that it names."""
        return (each for each in (self.old, self.new, self.bad, self.newer) if each)

    @property
    def layout(self) -> Mapping[str, Region]:
        """Byte offset and length of each region of the disk."""
        return self.old.layout

    def phase(self, position: int) -> str:
        """The phase that a log record belongs to, `` for one outside the recorded update."""
        return next((p.name for p in self.phases if p.start <= position < p.end), "")

    def save(self) -> None:
        """Write recording.json."""
        text = json.dumps(self.to_json(), indent=2, default=str) + "\n"
        files.write_whole(self.folder / FILE, text.encode())

    def to_json(self) -> dict[str, Any]:
        """The content of recording.json."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "board": self.board,
            "model": self.model,
            "lab": str(self.lab),
            "bench": self.bench,
            "old": _named(self.old),
            "new": _named(self.new),
            **({"bad": _named(self.bad)} if self.bad else {}),
            **({"newer": _named(self.newer)} if self.newer else {}),
            "files": {name: asdict(digest) for name, digest in self.files.items()},
            "start": self.start,
            "end": self.end,
            "phases": [asdict(phase) for phase in self.phases],
            "server_port": self.server_port,
            "clock": self.clock.isoformat(),
            "seed": self.seed,
            "probe_slot": asdict(self.probe_slot),
            "identity": asdict(self.identity),
            **({} if self.accelerator == TCG else {"accelerator": self.accelerator}),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }

    @classmethod
    def load(cls, folder: Path) -> "Recording":
        """Read a recording and the releases that it names; names and sizes are compared.

        ConfigurationError when the folder is none, or a release or a file is gone or another one.
        """
        path = folder / FILE
        text = file_bytes(path, hint="a recording is a folder made by `harness crash record`")
        schema = parsed(_RecordingHead, text, path, hint=_HINT).schema
        if schema != SCHEMA:
            raise ConfigurationError(
                f"{path}: schema {schema} is not known, {SCHEMA} is", hint=_HINT
            )
        told = parsed(_RecordingFile, text, path, hint=_HINT)
        problems: list[str] = []
        found = told.recording(folder, problems)
        if found is None or (problems := [*problems, *_misfits(found)]):
            raise ConfigurationError.of(str(path), problems, hint=_HINT)
        return found

    def verify(self, *, releases: bool = True) -> None:
        """Hash what was recorded, once a process: log, probe and base, and `releases` all files of
        them; and find the phases again. ConfigurationError names what is another one."""
        known = self.releases if releases else ()
        folders: dict[Path, Mapping[str, Digest]] = {each.folder: each.files for each in known}
        folders.setdefault(self.old.folder, {self.base.name: self.old.files[self.base.name]})
        folders[self.folder] = self.files
        problems = [
            problem for path, files in folders.items() for problem in digests.changed(path, files)
        ]
        if not problems:
            span = phase_finder.find(self.log, self.layout)
            if (span.start, span.end, span.phases) != (self.start, self.end, self.phases):
                problems.append("start, end, phases: are not those of the log")
        if problems:
            raise ConfigurationError.of(str(self.folder / FILE), problems, hint=_HINT)


def own_files(folder: Path) -> dict[str, Digest]:
    """The digests of what a recording needs of its own folder: the log, and the probe's files."""
    return digests.of(folder, [LOG, *(path.name for path in folder.glob(f"{PROBE}*"))])


@dataclass(frozen=True, slots=True)
class _RecordingHead:
    schema: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A release: where it lies, and all of its release.json."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    folder: Path
    release: dict[str, Any]

    def load(self, which: str, problems: list[str]) -> Release | None:
        """The release, when it is still the one that was recorded."""
        try:
            found = releases.load(self.folder)
        except HarnessError as error:
            problems.append(f"{which}: {error}")
            return None
        now = found.to_json()
        other = [key for key in {**now, **self.release} if now.get(key) != self.release.get(key)]
        if other:
            told = f"{which}: {self.folder} is not the release that was recorded"
            problems.append(f"{told}: another {', '.join(other)}")
        else:
            problems += [f"{which}: {each}" for each in digests.missing(self.folder, found.files)]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordingFile:
    """recording.json."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    schema: int
    machine: str
    board: str
    model: Model
    lab: Path
    bench: str
    old: _Named
    new: _Named
    bad: _Named | None = None
    newer: _Named | None = None
    files: dict[Annotated[str, Field(pattern=rf"^({LOG}|{PROBE}[\w.-]*)$")], Digest]
    start: Count
    end: Count
    phases: tuple[Phase, ...]
    server_port: Annotated[int, Field(ge=1, lt=1 << 16)]
    clock: AwareDatetime
    seed: Annotated[int, Field(ge=1, lt=1 << 32)]
    outcomes: tuple[RecordedOutcome, ...]
    probe_slot: Digest
    identity: Identity
    accelerator: Accelerated = TCG

    def recording(self, folder: Path, problems: list[str]) -> Recording | None:
        """With its releases; None when one of them cannot be read."""
        names = ("old", "new", "bad", "newer")
        named = {name: told for name in names if (told := getattr(self, name))}
        found = {name: told.load(name, problems) for name, told in named.items()}
        if not all(found.values()):
            return None
        fields = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name not in ("schema", *names)
        }
        return Recording(**fields, **found, folder=folder)


def _misfits(found: Recording) -> Iterator[str]:
    """What cannot be, as far as that is to be seen without reading the log."""
    machines = {each.machine for each in found.releases}
    if machines != {found.machine}:
        yield f"machine: {found.machine}, but the releases are for {', '.join(sorted(machines))}"
    if LOG not in found.files:
        yield f"files: {LOG} is not named"
    if problems := digests.missing(found.folder, found.files):
        yield from (f"files: {each}" for each in problems)
        return
    if found.base.name not in found.old.files:
        yield f"old: {found.base} has no digest"
        return
    yield from broken_phases(found.phases, found.start, found.end)
    if found.end >= found.log.stat().st_size // HEADER:
        yield f"end: {found.log} cannot have {found.end:,} records"
    with opened(found.log) as log:
        if (log.origin.model, log.origin.size) != (found.model, found.sectors * 512):
            told = f"{log.origin.model} of {log.origin.size:,} bytes"
            yield f"model: {found.log} is of a medium {told}"


def _named(release: Release) -> dict[str, Any]:
    return {"folder": str(release.folder), "release": release.to_json()}


def keep_consoles(board: Board, folder: Path) -> None:
    """Copy what the board has said on its console into a folder, one file a boot."""
    folder.mkdir(exist_ok=True)
    for log in board.console_logs:
        shutil.copyfile(log, folder / log.name)
