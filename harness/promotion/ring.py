"""Rings, and the file of the release repository that says what each machine in a ring gets."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

import yaml
from pydantic import ConfigDict

from harness import schema, version
from harness.evidence.subject import Digests, Subject

_HEADER = "# Written by `harness promote`, one commit a promotion. Do not edit by hand.\n"


class Ring(StrEnum):
    """How far a release has come, nearest to the developer first."""

    LAB = "lab"
    CANARY = "canary"
    FLEET = "fleet"

    @property
    def file(self) -> str:
        """Path of the ring's file in the release repository."""
        return f"rings/{self}.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What one machine in a ring runs, and on which evidence (SHA-256 of DSSE envelopes)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    version: str
    digests: Digests
    evidence: tuple[str, ...]
    variants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if told := version.problem(self.version):
            raise ValueError(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingState:
    """The content of `rings/<ring>.yaml`."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    machines: dict[str, Promoted] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, *, what: str) -> "RingState":
        """Read the file; raises ConfigurationError with all problems."""
        return schema.from_yaml(cls, text, what=what)

    def text(self) -> str:
        """The file's content, machines in alphabetical order."""
        data = schema.to_data(replace(self, machines=dict(sorted(self.machines.items()))))
        return _HEADER + yaml.safe_dump(data, sort_keys=False)

    def holds(self, subject: Subject) -> bool:
        """Whether the subject's machine has exactly this release."""
        current = self.machines.get(subject.machine)
        return current is not None and current.digests == subject.digests

    def with_release(self, subject: Subject, evidence: tuple[str, ...]) -> "RingState":
        """The ring after a promotion."""
        promoted = Promoted(
            version=subject.version,
            digests=subject.digests,
            evidence=evidence,
            variants=subject.variants,
        )
        return RingState(machines={**self.machines, subject.machine: promoted})
