"""Where evidence is kept: one folder a run, written so that a crash keeps what was finished.

    <store>/<machine>/<version>/<UTC stamp>-<8 hex>/
        run.json, records/NNN.json        while the run goes on
        evidence.json, evidence.dsse.json when it has ended: the statement, and its signature
        console/..., junit.xml, events-*.jsonl, report.html

The envelope is what makes a run finished and usable as evidence. The records of a run that never
got there are unsigned; they can still speak against a release (`unfinished`), never for one.
"""

import hashlib
import itertools
import operator
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue
from securesystemslib.signer import CryptoSigner, Key  # type: ignore[attr-defined]

from harness import files, paths, schema
from harness.errors import ConfigurationError, HarnessError
from harness.evidence import signing
from harness.evidence.evidence import Evidence, RunHeader
from harness.evidence.record import Record
from harness.evidence.subject import Subject

STATEMENT_FILE = "evidence.json"
ENVELOPE_FILE = "evidence.dsse.json"
_NEWEST_RUNS = 50


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
class Found:
    """What a store knows about a version of a machine; all lists oldest first."""

    evidence: tuple[Stored, ...]  # about exactly the digests asked for
    other: tuple[Stored, ...]  # about the same version with other content
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

    def finish(self, signer: CryptoSigner) -> Stored:
        """Write the statement and sign it; from here on the run is evidence."""
        evidence = Evidence(
            header=self.header, records=tuple(self.records), attachments=self._attachments()
        )
        payload = evidence.to_bytes()
        envelope = signing.seal(payload, signer)
        files.write_whole(self.folder / STATEMENT_FILE, payload)
        files.write_whole(self.folder / ENVELOPE_FILE, envelope)
        shutil.rmtree(self.folder / "records")
        (self.folder / "run.json").unlink()
        return Stored(evidence=evidence, envelope=envelope, folder=self.folder)

    def _attachments(self) -> dict[str, str]:
        """SHA-256 of each console log that the records name; a log that is not there is left
        out, and shows in the report as missing."""
        names = sorted({log for record in self.records for log in record.console_logs})
        return {
            name: hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            for name in names
            if (self.folder / name).is_file()
        }

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """A run that was begun and not finished. Raises ConfigurationError."""
        header = schema.from_json(RunHeader, _read(folder / "run.json"), what=folder / "run.json")
        run = cls(folder, header)
        for file in sorted((folder / "records").glob("[0-9]*.json")):
            data = schema.from_json(dict, _read(file), what=file)
            run.records.append(Record.from_data(data, what=str(file)))
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
    ) -> Run:
        """Start a run about `subject`: makes its folder, console folder and header."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{stamp}-{secrets.token_hex(4)}"
        header = RunHeader(
            run=name,
            subject=subject,
            from_release=from_release,
            board=board,
            lab=lab,
            tools=tools,
        )
        run = Run(self._folder_of(subject.machine, subject.version) / name, header)
        files.make_folder(run.consoles)
        files.make_folder(run.folder / "records")
        files.write_whole(run.folder / "run.json", schema.to_bytes(schema.to_data(header)))
        return run

    def runs(self, machine: str, version: str) -> Iterator[Path]:
        """Folders of all runs about a version of a machine, oldest first."""
        folder = self._folder_of(machine, version)
        yield from sorted(path for path in folder.glob("*") if path.is_dir())

    def find(self, subject: Subject, keys: Sequence[Key]) -> Found:
        """All finished runs about this version, checked against `keys` and sorted by content."""
        usable: list[Stored] = []
        unusable: list[Unusable] = []
        for folder in filter(_ended, self.runs(subject.machine, subject.version)):
            try:
                usable.append(load(folder, keys))
            except HarnessError as error:
                unusable.append(Unusable(folder=folder, error=error))
        same = [stored.evidence.subject.digests == subject.digests for stored in usable]
        return Found(
            evidence=tuple(itertools.compress(usable, same)),
            other=tuple(itertools.compress(usable, map(operator.not_, same))),
            unusable=tuple(unusable),
        )

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
            if (folder / "run.json").exists() and not _ended(folder)
        ]
        return [run for run in runs if run.header.subject.digests == subject.digests]

    def _folder_of(self, machine: str, version: str) -> Path:
        for part in (machine, version):
            if not part or part.startswith(".") or "/" in part:
                raise ConfigurationError(f"{part!r}: not usable as a folder name of the store")
        return self.folder / machine / version


def _ended(folder: Path) -> bool:
    """Whether a run was finished: a statement that has lost its envelope counts, as broken."""
    begun, stated = (folder / "run.json").exists(), (folder / STATEMENT_FILE).exists()
    return (folder / ENVELOPE_FILE).exists() or (stated and not begun)


def load(folder: Path, keys: Sequence[Key]) -> Stored:
    """The evidence of one finished run, checked against `keys`.

    Raises BrokenEvidenceError, UntrustedEvidenceError or ConfigurationError.
    """
    envelope = _read(folder / ENVELOPE_FILE)
    payload = signing.unseal(envelope, keys, what=str(folder / ENVELOPE_FILE))
    if _read(folder / STATEMENT_FILE) != payload:
        raise signing.BrokenEvidenceError(
            f"{folder / STATEMENT_FILE}: differs from what was signed",
            hint="it was changed afterwards: restore it, or test again",
        )
    evidence = Evidence.from_bytes(payload, what=str(folder / STATEMENT_FILE))
    return Stored(evidence=evidence, envelope=envelope, folder=folder)


def _read(file: Path) -> bytes:
    try:
        return files.read(file)
    except ConfigurationError as error:
        raise signing.BrokenEvidenceError(error.brief) from error
