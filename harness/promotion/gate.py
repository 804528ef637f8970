"""The gate: whether the evidence there is lets a release into a ring, and exactly why not.

Rules, all about exactly the digests of the release:

- Only finished evidence counts for a release, signed by a key that the ring trusts.
- A required scenario has passed when its newest record passed.
- A failed record of any scenario, required or not, refuses for good: running again until it
  passes is not a fix, another build is. Lab trouble is forgiven by a later pass.
- Where a ring asks for it, the exploration of all power cuts (`harness crash`) is one more required
  scenario: none undecided, no sample that disagrees, none bricked or inconsistent.
- Records of an unfinished run are unsigned: they can refuse, never allow.
- Evidence about this version that is damaged refuses: nobody can say what it said.
- Evidence signed by a stranger counts for nothing, and is mentioned.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import HarnessError, PromotionError
from harness.evidence import crash
from harness.evidence.record import Outcome, Record, standing
from harness.evidence.signing import UntrustedEvidenceError
from harness.evidence.store import EvidenceStore, Found, Run, Stored
from harness.evidence.subject import Subject
from harness.promotion.policy import CrashPolicy, Policy, RingPolicy, matches
from harness.promotion.ring import Ring


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's answer; allowed when nothing is missing, failed or otherwise in the way."""

    ring: Ring
    subject: Subject
    missing: tuple[str, ...] = ()  # one line a scenario or pattern that has not passed (enough)
    failed: tuple[str, ...] = ()  # one line a failed record
    refusals: tuple[str, ...] = ()  # anything else: machine not allowed, evidence damaged
    notes: tuple[str, ...] = ()  # worth knowing, in nobody's way
    required: tuple[str, ...] = ()  # ids of the scenarios that count, all passed when allowed
    evidence: tuple[Stored, ...] = ()  # that the decision rests on

    @property
    def allowed(self) -> bool:
        """Whether the release may go into the ring."""
        return not (self.missing or self.failed or self.refusals)

    def lines(self) -> list[str]:
        """All that is in the way, and the notes, a line each."""
        return [
            *(f"  refused: {text}" for text in self.refusals),
            *(f"  failed: {text}" for text in self.failed),
            *(f"  missing: {text}" for text in self.missing),
            *(f"  note: {text}" for text in self.notes),
        ]

    def refusal(self) -> PromotionError:
        """The error that says why the release does not go into the ring."""
        if self.failed or self.refusals:
            hint = "a failure for these digests is final: fix the release, build and test again"
            if not self.failed:
                hint = "see docs/promotion.md for what each refusal means"
        else:
            hint = f"run what is missing: harness test RELEASE (machine {self.subject.machine})"
        brief = f"{self.subject} is not let into ring {self.ring}"
        return PromotionError(brief, details="\n".join(self.lines()), hint=hint)


def check(subject: Subject, ring: Ring, policy: Policy, store: EvidenceStore) -> Decision:
    """Decide by evidence alone; what the ring before holds is for `promote` to look up."""
    asked = policy.rings.get(ring)
    if asked is None:
        refusal = f"policy.yaml has no ring {ring}"
        return Decision(ring=ring, subject=subject, refusals=(refusal,))
    found = store.find(subject, policy.trusted(ring))
    records = standing(record for stored in found.evidence for record in stored.evidence.records)
    broken, strangers = _unusable(found)
    if subject.machine not in asked.machines:
        broken.insert(0, f"ring {ring} is not for machine {subject.machine}")
    missing, required = _missing(asked, records)
    if missing:
        strangers += _other_content(found, subject)
    return Decision(
        ring=ring,
        subject=subject,
        missing=tuple(missing),
        failed=tuple(_failures(found.evidence, store.unfinished(subject))),
        refusals=tuple(broken),
        notes=tuple(strangers),
        required=tuple(required),
        evidence=tuple(_resting_on(found.evidence, [records[name] for name in required])),
    )


def _missing(asked: RingPolicy, records: dict[str, Record]) -> tuple[list[str], list[str]]:
    """Lines for what has not passed, and the sorted ids of the passed scenarios that count."""
    passed = {name for name, record in records.items() if record.passed}
    missing = [
        f"{name}: {_why_not(records.get(name))}" for name in asked.scenarios if name not in passed
    ]
    counted = passed.intersection(asked.scenarios)
    for pattern, least in asked.matching.items():
        good = {name for name in passed if matches(pattern, name)}
        counted |= good
        if len(good) < least:
            bad = [
                f"{name} ({_why_not(record)})"
                for name, record in sorted(records.items())
                if matches(pattern, name) and not record.passed
            ]
            rest = f"; not passed: {', '.join(bad)}" if bad else ""
            missing.append(f"{pattern}: {len(good)} of at least {least} passed{rest}")
    if asked.crash and asked.crash.required:
        missing += _unproven(asked.crash, records.get(crash.SCENARIO))
        counted |= passed.intersection([crash.SCENARIO])
    return missing, sorted(counted)


def _unproven(asked: CrashPolicy, record: Record | None) -> list[str]:
    """What the exploration of all power cuts does not prove, or that there is none."""
    if record is None or not record.passed:
        again = "keep one: harness crash report RUN --store STORE"
        return [f"{crash.SCENARIO}: {_why_not(record)} ({again})"]
    found = record.fault.parameters.get("cut_points", 0) if record.fault else 0
    if found < asked.cut_points:
        return [f"{crash.SCENARIO}: {found:,} cut points of at least {asked.cut_points:,}"]
    return []


def _why_not(record: Record | None) -> str:
    return "no evidence for these digests" if record is None else record.why


def _failures(evidence: Iterable[Stored], unfinished: Iterable[Run]) -> list[str]:
    runs = [(stored.evidence.header.run, stored.evidence.records) for stored in evidence]
    runs += [(f"{run.header.run}, unfinished", tuple(run.records)) for run in unfinished]
    return [
        f"{record.scenario}: {record.why} (run {run})\n    again: {record.replay}"
        for run, records in runs
        for record in records
        if record.outcome is Outcome.FAILED
    ]


def _unusable(found: Found) -> tuple[list[str], list[str]]:
    """Lines about damaged evidence, and about evidence of strangers."""
    broken: list[str] = []
    strangers: list[str] = []
    for run in found.unusable:
        sort = strangers if isinstance(run.error, UntrustedEvidenceError) else broken
        sort.append(_told(run.error))
    return broken, strangers


def _told(error: HarnessError) -> str:
    return " ".join(str(error).split())


def _other_content(found: Found, subject: Subject) -> list[str]:
    """Which parts differ from those that evidence for the same version is about."""
    lines = []
    for stored in found.other:
        tested = dict(stored.evidence.subject.digests.items())
        parts = [name for name, sha in subject.digests.items() if tested[name] != sha]
        run = stored.evidence.header.run
        lines.append(f"run {run} tested another {subject.version}: its {', '.join(parts)} differ")
    return lines


def _resting_on(evidence: Iterable[Stored], records: list[Record]) -> list[Stored]:
    return [stored for stored in evidence if any(r in stored.evidence.records for r in records)]
