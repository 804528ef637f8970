"""What was found of a design: results.json beside it, one entry for each variant.

Written by `run`; the table is made of it. It is no evidence: that is signed, and lies in a store.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, JsonValue

from harness import files, schema
from harness.errors import DeviceError, LabError
from harness.evidence.record import Outcome, Record
from harness.fields import Line, Name
from harness.judge.verdict import Verdict
from harness.schema import AwareDatetime, Count, Sha256

FILE = "results.json"
SCHEMA: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What became of one scenario. `why` are the invariants that do not hold, or the lab trouble;
    `cut` is what a power cut was, in the medium's words."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    scenario: str
    outcome: Outcome
    verdict: Verdict | None
    expected: tuple[Verdict, ...]
    why: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    cut: dict[str, JsonValue] = field(default_factory=dict)
    boots: Count = 0
    finished: AwareDatetime
    replay: str

    @property
    def ending(self) -> str:
        """Its verdict; `broken` where it failed on a bench that then had no time for one."""
        return str(self.verdict or ("broken" if self.outcome is Outcome.FAILED else self.outcome))

    @classmethod
    def of(cls, record: Record) -> "ScenarioResult":
        """Of a record of the evidence."""
        why = [f"{each.name}: {each.detail}" for each in record.broken]
        parameters = record.fault.parameters if record.fault else {}
        return cls(
            scenario=record.scenario,
            outcome=record.outcome,
            verdict=record.verdict,
            expected=record.expected,
            why=(*why, *record.error.splitlines()[:1]),
            not_checked=tuple(f"{each.name}: {each.why}" for each in record.not_checked),
            cut=parameters,
            boots=record.boots,
            finished=record.finished,
            replay=record.replay,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFinding:
    """Cuts in one phase that end alike, and badly, second cuts in the next boot counted in;
    `state` is one of them."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    phase: Line
    verdict: Verdict
    why: tuple[str, ...] = ()
    cuts: Count
    state: Line
    replay: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """An exploration of the variant's recorded update, in cut points."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    total: Count
    decided: Count
    bad: Count
    boots: Count
    minutes: float
    found: tuple[CutFinding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """One variant, as it was built from `inputs` and those packages. `left_out`: scenarios that the
    product or the board lacks something for; `waiting`: those that the budget did not reach."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    inputs: Sha256
    harness: Line  # commit
    packages: dict[str, str]  # of those that decide: version
    packages_sha256: Sha256  # of the list of all, with their versions
    accelerator: Line
    scenarios: tuple[ScenarioResult, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    explored: Explored | None = None
    not_explored: str = ""  # why

    @property
    def findings(self) -> tuple[ScenarioResult, ...]:
        """What failed."""
        return tuple(each for each in self.scenarios if each.outcome is Outcome.FAILED)

    @property
    def judged(self) -> tuple[ScenarioResult, ...]:
        """Those with a verdict: lab trouble is none."""
        return tuple(each for each in self.scenarios if each.outcome is not Outcome.LAB_ERROR)

    @property
    def last(self) -> str:
        """The day of the last verdict."""
        return max((f"{each.finished:%Y-%m-%d}" for each in self.scenarios), default="never")


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignResults:
    """All of results.json."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    schema: Literal[1] = SCHEMA
    variants: dict[Name, VariantResult] = field(default_factory=dict)

    def with_variant(self, name: str, result: VariantResult) -> "DesignResults":
        """These, with another result of that variant."""
        return replace(self, variants={**self.variants, name: result})


def load(folder: Path) -> DesignResults:
    """What is stored beside a design; nothing when it was never run. ConfigurationError for a file
    that is damaged."""
    file = folder / FILE
    if not files.is_file(file):
        return DesignResults()
    return schema.from_json(DesignResults, files.read(file), what=file, hint="run it again")


def save(folder: Path, results: DesignResults) -> None:
    """Write them whole."""
    files.write_whole(folder / FILE, schema.to_bytes(schema.to_data(results)))


def compared(before: VariantResult | None, now: VariantResult) -> None:
    """What had a verdict must have it again: DeviceError for another one, LabError for none."""
    known = {each.scenario: each.ending for each in before.judged} if before else {}
    other = [e for e in now.scenarios if known.get(e.scenario, e.ending) != e.ending]
    told = [f"{e.scenario} ended {e.ending}, and {known[e.scenario]} before" for e in other]
    if not other:
        return
    if any(each.outcome is Outcome.LAB_ERROR for each in other):
        raise LabError("; ".join(told), hint="run it again when the host has less to do")
    raise DeviceError("; ".join(told), hint=f"look at the evidence; {FILE} has what is so now")
