"""Where evidence is kept: one folder a run, written so that a crash keeps what was finished.

    <store>/<machine>/<version>/<UTC stamp>-<8 hex>/
        run.json, records/NNN.json        while the run goes on
        evidence.json, evidence.dsse.json when it has ended: the statement, and its signature
        console/..., junit.xml, events-*.jsonl, report.html

The envelope is what makes a run finished and usable as evidence. Records that no trusted key has
signed, of a run that never got there or of a stranger's, can still speak against a release, never
for one. What cannot be read, or is not as it was signed with all of its files, is `unusable`.
"""

import hashlib
import itertools
import operator
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue
from securesystemslib.signer import CryptoSigner, Key  # type: ignore[attr-defined]

from harness import files, paths, schema, version
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.evidence import attachments, signing
from harness.evidence.attachments import ENVELOPE_FILE, HEADER_FILE, STATEMENT_FILE
from harness.evidence.evidence import STAMP, BoardTold, Evidence, RunHeader
from harness.evidence.record import Record
from harness.evidence.subject import Subject
from harness.fields import NAME
from harness.plugins import UsedPart

_NEWEST_RUNS = 50
_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Evidence whose signature was checked, and the envelope it came in."""

    evidence: Evidence
    envelope: bytes
    folder: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the envelope: how a promotion names its evidence."""
        return hashlib.sha256(self.envelope).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A run that gives no evidence, and why (broken, untrusted)."""

    folder: Path
    error: HarnessError


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """Records that no trusted key has signed."""

    run: str  # the run, and why they are not signed
    subject: Subject
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a store knows about a version of a machine; all lists oldest first."""

    evidence: tuple[Stored, ...]  # about exactly the digests asked for
    other: tuple[Stored, ...]  # about the same version with other content
    unsigned: tuple[Unsigned, ...]  # about the same version, or what a device would get of it
    unusable: tuple[Unusable, ...]


class Run:
    """A run that is being written. Owned by one process; `add` as scenarios end, then `finish`."""

    def __init__(self, folder: Path, header: RunHeader) -> None:
        self.folder = folder
        self.header = header
        self.records: list[Record] = []

    @property
    def consoles(self) -> Path:
        """Where console logs go; records name them relative to `folder`."""
        return self.folder / "console"

    def add(self, record: Record) -> None:
        """Keep a finished scenario's record, on disk before this returns."""
        if record.machine != self.header.subject.machine:
            raise ValueError(f"{record.scenario}: ran on a {record.machine}")
        file = self.folder / "records" / f"{len(self.records):03}.json"
        files.write_whole(file, schema.to_bytes(record.to_data()))
        self.records.append(record)

    def finish(
        self,
        signer: CryptoSigner,
        *,
        tools: dict[str, JsonValue] | None = None,
        left_out: dict[str, str] | None = None,
    ) -> Stored:
        """Write the statement and sign it; from here on the run is evidence. `tools` and `left_out`
        as they are known now, if otherwise than when it began. ConfigurationError when it has no
        records."""
        header = self.header if tools is None else replace(self.header, tools=tools)
        evidence = Evidence(
            header=header if left_out is None else replace(header, left_out=left_out),
            records=tuple(self.records),
            attachments=attachments.of(self.folder),
        )
        evidence.require_records(self.folder)
        payload = evidence.to_bytes()
        envelope = signing.seal(payload, signer)
        files.write_whole(self.folder / STATEMENT_FILE, payload)
        files.write_whole(self.folder / ENVELOPE_FILE, envelope)
        shutil.rmtree(self.folder / "records")
        (self.folder / HEADER_FILE).unlink()
        return Stored(evidence=evidence, envelope=envelope, folder=self.folder)

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """A run that was begun and not finished. Raises ConfigurationError."""
        file = folder / HEADER_FILE
        header = schema.from_json(RunHeader, _read(file), what=file)
        run = cls(folder, header)
        run.records += _records(folder)
        return run


class EvidenceStore:
    """The folder of all runs; `$HARNESS_HOME/evidence` by default."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or paths.home() / "evidence"

    def begin(
        self,
        subject: Subject,
        *,
        from_release: Subject | None,
        board: str,
        lab: str,
        tools: dict[str, JsonValue],
        left_out: dict[str, str] | None = None,
        accelerators: dict[str, str] | None = None,
        benches: dict[str, BoardTold] | None = None,
        parts: tuple[UsedPart, ...] = (),
    ) -> Run:
        """Start a run about `subject`: makes its folder, console folder and header."""
        stamp = datetime.now(UTC).strftime(STAMP)
        name = f"{stamp}-{secrets.token_hex(4)}"
        header = RunHeader(
            run=name,
            subject=subject,
            from_release=from_release,
            board=board,
            lab=lab,
            tools=tools,
            left_out=left_out or {},
            accelerators=accelerators or {},
            benches=benches or {},
            parts=parts,
        )
        run = Run(self._folder_of(subject.machine, subject.version) / name, header)
        files.make_folder(run.folder)
        files.write_whole(run.folder / HEADER_FILE, schema.to_bytes(schema.to_data(header)))
        files.make_folder(run.consoles)
        files.make_folder(run.folder / "records")
        return run

    def runs(self, machine: str, version: str) -> Iterator[Path]:
        """Folders of all runs about a version of a machine, oldest first; those among them that
        nobody can look into now."""
        folder = self._folder_of(machine, version)
        yield from (path for path in files.entries(folder) if _may_be_run(path))

    def find(self, subject: Subject, keys: Sequence[Key]) -> Found:
        """All runs about this version, checked against `keys` and sorted by content; and what the
        store has about the same slot or artifact under other names, as records without a
        signature: it can speak against the release, and not for it."""
        folders = list(self.runs(subject.machine, subject.version))
        told = [each for folder in folders for each in _told_by(folder, keys)]
        told += [each for folder in self._others(folders) for each in _renamed(folder, subject)]
        usable = [each for each in told if isinstance(each, Stored)]
        same = [stored.evidence.subject.digests == subject.digests for stored in usable]
        return Found(
            evidence=tuple(itertools.compress(usable, same)),
            other=tuple(itertools.compress(usable, map(operator.not_, same))),
            unsigned=tuple(each for each in told if isinstance(each, Unsigned)),
            unusable=tuple(each for each in told if isinstance(each, Unusable)),
        )

    def _others(self, known: Sequence[Path]) -> list[Path]:
        """Folders of all runs that are not known, oldest first. No run is in what has no name of a
        machine or of a version: a file system's lost+found, which only root may look into."""
        machines = [each for each in files.entries(self.folder) if re.fullmatch(NAME, each.name)]
        versions = [
            each
            for machine in machines
            for each in files.entries(machine)
            if not version.problem(each.name)
        ]
        found = {path for each in versions for path in files.entries(each) if _may_be_run(path)}
        return sorted(found.difference(known), key=lambda path: path.name)

    def newest(self, keys: Sequence[Key]) -> dict[str, tuple[Subject, Record]]:
        """Board -> its newest record in finished, trusted evidence, and what it is about.

        Looks at the newest runs only: enough to tell what the boards of a lab did last.
        """
        folders = sorted(self.folder.glob("*/*/*"), key=lambda path: path.name, reverse=True)
        found: dict[str, tuple[Subject, Record]] = {}
        for folder in folders[:_NEWEST_RUNS]:
            try:
                evidence = load(folder, keys).evidence
            except HarnessError:
                continue
            for record in sorted(
                evidence.records, key=lambda record: record.finished, reverse=True
            ):
                found.setdefault(record.board, (evidence.subject, record))
        return found

    def unfinished(self, subject: Subject) -> list[Run]:
        """Runs about exactly these digests that were begun and not (yet) finished."""
        folders = self.runs(subject.machine, subject.version)
        runs = [
            Run.load(folder)
            for folder in folders
            if (folder / HEADER_FILE).is_file() and not _ended(folder)
        ]
        return [run for run in runs if run.header.subject.digests == subject.digests]

    def _folder_of(self, machine: str, version: str) -> Path:
        for part in (machine, version):
            if not part or part.startswith(".") or "/" in part:
                raise ConfigurationError(f"{part!r}: not usable as a folder name of the store")
        return self.folder / machine / version


def _may_be_run(path: Path) -> bool:
    """Whether it is a folder, or a link to what may be one again."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return True


def _ended(folder: Path) -> bool:
    """Whether a run was finished: a statement that has lost its envelope counts, as broken."""
    begun, stated = (folder / HEADER_FILE).is_file(), (folder / STATEMENT_FILE).exists()
    return (folder / ENVELOPE_FILE).exists() or (stated and not begun)


def _told_by(folder: Path, keys: Sequence[Key]) -> list[Stored | Unsigned | Unusable]:
    """What a run comes to. One that is being written may change while it is looked at: what cannot
    be used is looked at again, but for a stranger's, which is whole."""
    for _ in range(_LOOKS):
        told = list(_seen_in(folder, keys))
        unusable = [each for each in told if isinstance(each, Unusable)]
        if all(isinstance(each.error, signing.UntrustedEvidenceError) for each in unusable):
            break
    return told


def _seen_in(folder: Path, keys: Sequence[Key]) -> Iterator[Stored | Unsigned | Unusable]:
    """What a run comes to; a stranger's is unusable, and its records are unsigned ones."""
    try:
        os.scandir(folder).close()
        if not _ended(folder):
            yield from _unfinished(folder)
            return
        stored = read(folder)
        try:
            _require_signed(stored, keys)
        except signing.UntrustedEvidenceError as error:
            yield Unusable(folder=folder, error=error)
            yield _unsigned(stored.evidence.header, stored.evidence.records, "of a stranger")
        else:
            yield stored
    except HarnessError as error:
        yield Unusable(folder=folder, error=error)
    except OSError as error:  # it cannot even be looked into
        broken = signing.BrokenEvidenceError(f"{folder}: {error.strerror}")
        yield Unusable(folder=folder, error=broken)


def _unsigned(header: RunHeader, records: Iterable[Record], why: str) -> Unsigned:
    return Unsigned(run=f"{header.run}, {why}", subject=header.subject, records=tuple(records))


def _unfinished(folder: Path) -> list[Unsigned]:
    """The records so far of a run that has not ended; nothing for one that had not begun, and
    BrokenEvidenceError for what is left of one."""
    left = [name for name in attachments.names(folder) if not name.startswith(".")]
    if HEADER_FILE in left:
        run = Run.load(folder)
        records = run.records
        if STATEMENT_FILE in left:  # ended before it was signed, or not signed any more
            what = folder / STATEMENT_FILE
            records = [*records, *Evidence.from_bytes(_read(what), what=str(what)).records]
        return [_unsigned(run.header, records, "unfinished")]
    if left:
        raise signing.BrokenEvidenceError(
            f"{folder}: {HEADER_FILE} is missing: nobody can say what the run was about",
            hint="restore it; or, if nothing in the folder matters, delete the folder",
        )
    return []


def _records(folder: Path) -> Iterator[Record]:
    """Those that a run has kept so far, in order. BrokenEvidenceError when one is missing, or has
    another name than it was given."""
    place = folder / "records"
    if not files.is_folder(place):
        raise signing.BrokenEvidenceError(f"{place}: is missing")
    kept = sorted(path for path in place.iterdir() if not _half_written(path))
    for number, file in enumerate(kept):
        if file.name != f"{number:03}.json":
            raise signing.BrokenEvidenceError(f"{place}: has {file.name}, and no {number:03}.json")
        yield Record.from_data(schema.from_json(dict, _read(file), what=file), what=str(file))


def _half_written(file: Path) -> bool:
    """Whether it is what `files.write_whole` leaves when it is ended, or is at work on."""
    if not re.fullmatch(r"\.\d{3}\.json\..+", file.name):
        return False
    try:
        schema.from_json(dict, files.read(file), what=file)
    except HarnessError:
        return True
    return False


def _renamed(folder: Path, subject: Subject) -> Iterator[Unsigned | Unusable]:
    """What a run about another version or machine says of the slot or the artifact of `subject`:
    release.json can be given another version, what a device gets stays what it was. A damaged one
    has nothing to say here: nobody knows whether it is about that at all. One that must not be
    looked at, or is elsewhere now, may say anything."""
    wanted = {subject.digests.slot, subject.digests.artifact}
    try:
        os.scandir(folder).close()
    except OSError as error:
        broken = signing.BrokenEvidenceError(f"{folder}: {error.strerror}")
        yield Unusable(folder=folder, error=broken)
        return
    for told in (_sealed, _stated, _begun):
        try:
            header, records = told(folder)
        except LabError:
            raise
        except HarnessError as error:
            if _is_kept_from_us(error):
                yield Unusable(folder=folder, error=error)
                return
            continue
        about = header.subject.digests
        if wanted & {about.slot, about.artifact}:
            yield _unsigned(header, records, "of another version")
        return


def _is_kept_from_us(error: BaseException | None) -> bool:
    """Whether it comes from a file that is there and must not be read."""
    if error is None or isinstance(error, PermissionError):
        return error is not None
    return _is_kept_from_us(error.__cause__)


_Said = tuple[RunHeader, Sequence[Record]]


def _sealed(folder: Path) -> _Said:
    file = folder / ENVELOPE_FILE
    payload = signing.opened(_read(file), what=str(file)).payload
    return _said(Evidence.from_bytes(payload, what=str(file)))


def _stated(folder: Path) -> _Said:
    file = folder / STATEMENT_FILE
    return _said(Evidence.from_bytes(_read(file), what=str(file)))


def _said(evidence: Evidence) -> _Said:
    return evidence.header, evidence.records


def _begun(folder: Path) -> _Said:
    run = Run.load(folder)
    return run.header, run.records


def load(folder: Path, keys: Sequence[Key]) -> Stored:
    """The evidence of one finished run, checked against `keys`, with all of its files.

    Raises BrokenEvidenceError, UntrustedEvidenceError or ConfigurationError.
    """
    stored = read(folder)
    _require_signed(stored, keys)
    return stored


def read(folder: Path) -> Stored:
    """What a finished run says, whoever signed it, and with files that are those it names.

    Raises BrokenEvidenceError or ConfigurationError.
    """
    envelope = _read(folder / ENVELOPE_FILE)
    payload = signing.opened(envelope, what=str(folder / ENVELOPE_FILE)).payload
    if _read(folder / STATEMENT_FILE) != payload:
        raise signing.BrokenEvidenceError(
            f"{folder / STATEMENT_FILE}: differs from what was signed",
            hint="it was changed afterwards: restore it, or test again",
        )
    evidence = Evidence.from_bytes(payload, what=str(folder / STATEMENT_FILE))
    if problems := list(attachments.changed(folder, evidence)):
        raise signing.BrokenEvidenceError(
            f"{folder}: has files that are not as they were signed",
            details="\n".join(f"  {each}" for each in problems),
            hint="restore them, or test again",
        )
    return Stored(evidence=evidence, envelope=envelope, folder=folder)


def _require_signed(stored: Stored, keys: Sequence[Key]) -> None:
    what = str(stored.folder / ENVELOPE_FILE)
    signing.require_signed(signing.opened(stored.envelope, what=what), keys, what=what)


def _read(file: Path) -> bytes:
    try:
        return files.read(file)
    except ConfigurationError as error:
        raise signing.BrokenEvidenceError(error.brief) from error
