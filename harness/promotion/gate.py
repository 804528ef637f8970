"""The gate: whether the evidence there is lets a release into a ring, and exactly why not.

Rules, all about exactly the digests of the release:

- Only finished evidence counts for a release, signed by a key that the ring trusts, of a run that
  the policy counts (`harness.promotion.counting`).
- A required scenario has passed when its newest record passed; from each release that the policy
  asks for, which is what the ring holds now, unless it says otherwise.
- What a scenario could not look at (an invariant that was not checked) counts as nothing; where the
  policy names that invariant, the scenario has not passed.
- A failed record of any scenario, required or not, refuses for good: running again until it
  passes is not a fix, another build is. Lab trouble is forgiven by a later pass.
- Where a ring asks for it, the exploration of all power cuts (`harness crash`) is one more required
  scenario: none undecided, no sample that disagrees, none bricked or inconsistent.
- Records that no trusted key has signed (an unfinished run's, a stranger's) and those of the same
  slot or artifact in another wrapping can refuse, never allow.
- Evidence about this version that is damaged, or of a day that is still to come, refuses: nobody
  can say what it said.
- One version is one content, a step back is asked for, a deliberate variant is allowed by name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from harness.errors import HarnessError, PromotionError
from harness.evidence import explored
from harness.evidence.record import CONTROLS, Outcome, Record, newest
from harness.evidence.signing import UntrustedEvidenceError
from harness.evidence.store import EvidenceStore, Found, Stored
from harness.evidence.subject import Subject
from harness.plain import one_line
from harness.promotion.contents import RingContents
from harness.promotion.counting import Start, counted, in_the_future, starts
from harness.promotion.policy import CrashPolicy, RingPolicy, matches
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
            hint = "run what is missing: harness test RELEASE --from WHAT_THE_RING_HAS "
            hint += f"(machine {self.subject.machine})"
        brief = f"{self.subject} is not let into ring {self.ring}"
        return PromotionError(brief, details="\n".join(self.lines()), hint=hint)


def check(
    subject: Subject,
    ring: Ring,
    contents: RingContents,
    store: EvidenceStore,
    *,
    allow_older: bool = False,
) -> Decision:
    """Decide by the evidence in `store`, and by what the release repository says and holds."""
    asked = contents.policy.rings.get(ring)
    if asked is None:
        refusal = f"policy.yaml has no ring {ring}"
        return Decision(ring=ring, subject=subject, refusals=(refusal,))
    now = datetime.now(UTC)
    found = store.find(subject, contents.policy.trusted(ring))
    runs, notes = counted(found.evidence, asked, now)
    machine = subject.machine
    known = partial(contents.had, machine)
    missing, passed, resting = _of_all_starts(
        asked, starts(runs, asked, contents.held(ring, machine), known)
    )
    if asked.requires_ring and not contents.rings[asked.requires_ring].holds(subject):
        missing.insert(0, f"ring {asked.requires_ring}: must hold exactly this release first")
    broken, strangers = _unusable(found)
    refusals = [
        *_not_for(subject, ring, asked),
        *contents.in_the_way(subject, ring, allow_older=allow_older),
        *broken,
        *_of_the_future(found, subject, now),
    ]
    return Decision(
        ring=ring,
        subject=subject,
        missing=tuple(missing),
        failed=tuple(_failures(_about(found, subject))),
        refusals=tuple(refusals),
        notes=(*strangers, *((*notes, *_other_content(found, subject)) if missing else ())),
        required=tuple(sorted(passed)),
        evidence=tuple(resting),
    )


def _of_all_starts(
    asked: RingPolicy, groups: Iterable[Start]
) -> tuple[list[str], set[str], list[Stored]]:
    """Lines for what has not passed from each release that the ring asks for; the scenarios that
    passed and count, and the runs in which they did."""
    lines: list[str] = []
    names: set[str] = set()
    resting: dict[str, Stored] = {}
    for told, runs in groups:
        records = _standing(runs)
        left_out = {
            name: why for stored in runs for name, why in stored.evidence.header.left_out.items()
        }
        missing, required = _missing(asked, records, left_out)
        lines += [f"{told}{line}" for line in missing]
        names.update(required)
        for stored in _resting_on(runs, [records[name] for name in required]):
            resting[stored.digest] = stored
    return lines, names, list(resting.values())


def _standing(runs: Iterable[Stored]) -> dict[str, Record]:
    """The record that counts for each scenario. That of an exploration ends when its oldest boot
    did, which may be taken from one before: which of two is the newer is said by their runs."""

    def when(told: tuple[Stored, Record]) -> tuple[datetime, datetime]:
        stored, record = told
        signed_later = record.scenario in explored.EXPLORED
        return stored.evidence.header.begun if signed_later else record.finished, record.finished

    told = [(stored, record) for stored in runs for record in stored.evidence.records]
    return newest(record for _, record in sorted(told, key=when))


def _not_for(subject: Subject, ring: Ring, asked: RingPolicy) -> Iterator[str]:
    """Why a ring takes no such release at all."""
    if subject.machine not in asked.machines:
        yield f"ring {ring} is not for machine {subject.machine}"
    for name in subject.variants:
        if name not in asked.variants:
            yield f"it is the deliberate variant {name}: rings.{ring}.variants does not name it"


Told = tuple[str, tuple[Record, ...]]  # the run and its records


def _about(found: Found, subject: Subject) -> list[Told]:
    """All runs of what a device would get: the same release, or its slot or artifact in another
    wrapping; whoever signed them."""
    signed = [*found.evidence, *found.other]
    runs = [
        (each.evidence.header.run, each.evidence.subject, each.evidence.records) for each in signed
    ]
    runs += [(each.run, each.subject, each.records) for each in found.unsigned]
    wanted = subject.digests
    return [
        (run, records)
        for run, about, records in runs
        if about.digests.slot == wanted.slot or about.digests.artifact == wanted.artifact
    ]


def _of_the_future(found: Found, subject: Subject, now: datetime) -> list[str]:
    return [
        f"run {run}: {one_line(record.scenario)} ends at {record.finished:%Y-%m-%d %H:%M} UTC, "
        "which is still to come: set the clocks"
        for run, records in _about(found, subject)
        for record in records
        if in_the_future(record.finished, now)
    ]


def _missing(
    asked: RingPolicy, records: dict[str, Record], left_out: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Lines for what has not passed, and the sorted ids of the passed scenarios that count."""
    passed = {
        name
        for name, record in records.items()
        if record.passed
        and (record.control is not None) is name.startswith(CONTROLS)
        and not _unchecked(record, asked.checked)
    }
    missing = [
        f"{name}: {_why_not(records.get(name), left_out.get(name, ''), asked.checked)}"
        for name in asked.scenarios
        if name not in passed
    ]
    counted = passed.intersection(asked.scenarios)
    for pattern, least in asked.matching.items():
        # `*` is about the release: controls, which are not, count where they are asked for by name,
        # and nothing else counts there.
        controls = pattern.startswith((*CONTROLS, "negative-control*", "correct-product*"))
        good = {
            name
            for name in passed
            if matches(pattern, name) and controls is name.startswith(CONTROLS)
        }
        counted |= good
        if len(good) < least:
            bad = [
                f"{name} ({told})"
                for name, record in sorted(records.items())
                if matches(pattern, name) and (told := _why_not(record, checked=asked.checked))
            ]
            rest = f"; not passed: {', '.join(bad)}" if bad else ""
            if lacking := sorted(name for name in left_out if matches(pattern, name)):
                told = ", ".join(f"{name} ({one_line(left_out[name])})" for name in lacking)
                rest += f"; left out: {told}"
            missing.append(f"{pattern}: {len(good)} of at least {least} passed{rest}")
    if asked.crash and asked.crash.required:
        missing += _unproven(asked.crash, records.get(explored.SCENARIO), asked.checked)
        counted |= passed.intersection([explored.SCENARIO])
    return missing, sorted(counted)


def _unproven(asked: CrashPolicy, record: Record | None, checked: Sequence[str]) -> list[str]:
    """What the exploration of all power cuts does not prove, or that there is none."""
    if record is None or not record.passed:
        again = "keep one: harness crash report RUN --store STORE"
        return [f"{explored.SCENARIO}: {_why_not(record)} ({again})"]
    if told := _unchecked(record, checked):
        return [f"{explored.SCENARIO}: {told}"]
    found = explored.count(record, "cut_points")
    if found < asked.cut_points:
        return [f"{explored.SCENARIO}: {found:,} cut points of at least {asked.cut_points:,}"]
    return []


def _why_not(record: Record | None, left_out: str = "", checked: Sequence[str] = ()) -> str:
    if record is None:
        return f"left out: {one_line(left_out)}" if left_out else "no evidence for these digests"
    return one_line(record.why or _unchecked(record, checked))


def _unchecked(record: Record, checked: Sequence[str]) -> str:
    """Which of the invariants that a ring asks for a scenario has not looked at. A control, which
    is about another product, has none of them; an exploration, which is many judgements in one
    record, says which it has not."""
    if record.control:
        return ""
    known = {each.name for each in record.not_checked}
    asked = known.intersection(checked) if record.scenario in explored.EXPLORED else checked
    told = [f"{name} was not checked: {why}" for name in asked if (why := record.unchecked(name))]
    return "; ".join(told)


def _failures(runs: Iterable[Told]) -> list[str]:
    return [
        f"{one_line(record.scenario)}: {one_line(record.why)} (run {one_line(run)})\n"
        f"    again: {one_line(record.replay)}"
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
    return one_line(" ".join(str(error).split()))


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
