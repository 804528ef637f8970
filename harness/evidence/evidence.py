"""The evidence of one run, and its form as an in-toto statement.

The statement follows in-toto's Statement v1 and its test-result predicate v0.1. What that
predicate has no field for goes into the extension field `harness_evidence` of the predicate
(in-toto attestation v1, "Extension fields"); `result`, `passedTests` and `failedTests` only
repeat it, and a statement whose two halves disagree is refused.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, JsonValue

from harness import schema
from harness.boards.lab_file import Kind
from harness.errors import ConfigurationError
from harness.evidence.record import Outcome, Record, standing
from harness.evidence.subject import Subject
from harness.plugins import UsedPart

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STAMP = "%Y%m%dT%H%M%SZ"  # a run's id begins with it
# Of what follows: 2 has controls, and what was left out; 3 what was not checked, and accelerators;
# 4 what boards are that QEMU does not play; 5 which parts judged, and tries.
SCHEMA = 5
_DETAIL = "harness_evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTold:
    """A board on a bench, as its lab file has it: real, or virtual, and by which serial numbers."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    kind: Kind
    board_serial: str = ""
    card_serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What is known of a run before its first scenario."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    run: str  # id, for example 20261123T150000Z-1a2b3c4d
    subject: Subject
    from_release: Subject | None
    board: str
    lab: str
    tools: dict[str, JsonValue] = field(default_factory=dict)  # name -> version, see tools.py
    accelerators: dict[str, str] = field(
        default_factory=dict
    )  # board that QEMU plays -> tcg or kvm
    left_out: dict[str, str] = field(default_factory=dict)  # scenario -> what was lacking for it
    benches: dict[str, BoardTold] = field(default_factory=dict)  # of boards that QEMU does not play
    parts: tuple[UsedPart, ...] = ()  # by entry point, that its releases name; ours, too

    @property
    def kinds(self) -> set[Kind]:
        """What the boards of this run are."""
        played = set(self.board.split(", ")) - set(self.benches)
        return {each.kind for each in self.benches.values()} | ({Kind.QEMU} if played else set())

    @property
    def foreign(self) -> list[UsedPart]:
        """Its parts that are not the harness's own: somebody else's code had a say in its
        verdicts."""
        return [each for each in self.parts if each.foreign]

    @property
    def begun(self) -> datetime:
        """When the run was begun, in UTC, as its id says; of an id that does not: long ago."""
        try:
            return datetime.strptime(self.run.partition("-")[0], STAMP).replace(tzinfo=UTC)
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The results of one run, all about one release on one board."""

    header: RunHeader
    records: tuple[Record, ...]
    attachments: dict[str, str] = field(default_factory=dict)  # console log -> SHA-256

    @property
    def subject(self) -> Subject:
        """The release that was tested."""
        return self.header.subject

    @property
    def passed(self) -> bool:
        """Whether there are records and all of them passed."""
        return bool(self.records) and all(record.passed for record in self.records)

    @property
    def contradictions(self) -> list[str]:
        """What the records say that cannot be of this run."""
        own = {self.subject.digests.slot}
        if self.header.from_release:
            own.add(self.header.from_release.digests.slot)
        return [
            f"{record.scenario}: is no control: its product is one of those that were tested"
            for record in self.records
            if record.control and record.control.slot in own
        ]

    def require_records(self, folder: Path) -> None:
        """ConfigurationError when there are none; `folder` is the run's. Nothing was shown then,
        and neither is that signed, nor is it a success."""
        if not self.records:
            raise ConfigurationError(
                f"{folder}: no scenario left a record: that proves nothing",
                hint="run one that the machine has",
            )

    def count(self, outcome: Outcome) -> int:
        """How many records have this outcome."""
        return sum(record.outcome is outcome for record in self.records)

    def scenarios(self, outcome: Outcome) -> list[str]:
        """Sorted ids of the scenarios that stand with this outcome."""
        counts = standing(self.records)
        return sorted(name for name, record in counts.items() if record.outcome is outcome)

    def to_bytes(self) -> bytes:
        """The in-toto statement, as exactly the bytes that are signed."""
        return schema.to_bytes(self._statement())

    def _statement(self) -> dict[str, Any]:
        digests = self.subject.digests.items()
        return {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in digests],
            "predicateType": PREDICATE,
            "predicate": {
                # Lab trouble is not a pass: a consumer that knows only `result` must not promote.
                "result": "PASSED" if self.passed else "FAILED",
                "configuration": self._configuration(),
                "passedTests": self.scenarios(Outcome.PASSED),
                "failedTests": self.scenarios(Outcome.FAILED),
                _DETAIL: {
                    "schema": SCHEMA,
                    **schema.to_data(self.header),
                    "records": [record.to_data() for record in self.records],
                    "attachments": self.attachments,
                },
            },
        }

    def _configuration(self) -> list[dict[str, Any]]:
        """in-toto resource descriptors: the lab, and the release the updates started from."""
        lab: dict[str, Any] = {"name": f"lab {self.header.lab}, board {self.header.board}"}
        lab["uri"] = f"lab:{self.header.lab}/{self.header.board}"
        old = self.header.from_release
        if old is None:
            return [lab]
        return [lab, {"name": f"from {old}", "digest": {"sha256": old.digests.release}}]

    @classmethod
    def from_bytes(cls, payload: bytes, *, what: str) -> "Evidence":
        """Read a statement back; raises ConfigurationError unless it is exactly what this
        harness would write for the same records."""
        detail = _detail(payload, what)
        if (schema_ := _take(detail, "schema", int, what)) != SCHEMA:
            raise ConfigurationError(
                f"{what}: is of schema {schema_}, written by another version of the harness",
                hint=f"this one reads schema {SCHEMA}: test the release again",
            )
        records = [
            Record.from_data(data, what=f"{what}: record {number}")
            for number, data in enumerate(_take(detail, "records", list, what))
        ]
        attachments = _take(detail, "attachments", dict, what)
        header = schema.from_json(RunHeader, schema.to_bytes(detail), what=what)
        evidence = cls(header=header, records=tuple(records), attachments=attachments)
        if evidence.contradictions:
            raise ConfigurationError.of(what, evidence.contradictions)
        strangers = {record.machine for record in records} - {header.subject.machine}
        if strangers:
            raise ConfigurationError(f"{what}: has records of another machine: {strangers}")
        if json.loads(payload) != json.loads(evidence.to_bytes()):
            raise ConfigurationError(
                f"{what}: its summary or subject does not agree with its records",
                hint="the file was changed by hand or by a bug: do not use it",
            )
        return evidence


def _detail(payload: bytes, what: str) -> dict[str, Any]:
    statement = schema.json_data(payload, what=what)
    try:
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise ConfigurationError(f"{what}: not an in-toto test result")
        return dict(statement["predicate"][_DETAIL])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{what}: not evidence of this harness", details=f"  {type(error).__name__}: {error}"
        ) from error


def _take(detail: dict[str, Any], key: str, kind: type, what: str) -> Any:
    value = detail.pop(key, None)
    if not isinstance(value, kind):
        raise ConfigurationError(f"{what}: {key}: missing, or not a {kind.__name__}")
    return value
