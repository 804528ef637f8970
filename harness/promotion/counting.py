"""Which runs count for a release under a ring's policy, and why another does not.

A rule here only keeps a run from speaking for a release. Against one, every run speaks.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from harness.evidence import tools
from harness.evidence.store import Stored
from harness.evidence.subject import Digests, Subject
from harness.promotion.policy import RingPolicy, matches
from harness.promotion.ring import Promoted

# Clocks of labs and of who promotes differ; a day that is still to come is none of them.
_CLOCKS = timedelta(minutes=10)

Known = Callable[[str], Sequence[Digests]]  # of a version: the contents that rings have had of it
Start = tuple[str, list[Stored]]  # how it is told, and the runs from there


def counted(
    evidence: Iterable[Stored], asked: RingPolicy, now: datetime
) -> tuple[list[Stored], list[str]]:
    """The runs that count, and a line for each that does not."""
    counts, notes = [], []
    for stored in evidence:
        if reasons := _against(stored, asked, now):
            run = stored.evidence.header.run
            notes.append(f"run {run} does not count: {'; '.join(reasons)}")
        else:
            counts.append(stored)
    return counts, notes


def starts(
    evidence: Sequence[Stored], asked: RingPolicy, held: Promoted | None, known: Known
) -> list[Start]:
    """The runs by the release that they started from, one entry for each that must be covered.
    What rings have had of a version that the policy names is what that version is."""
    found: list[Start] = []
    if held and asked.from_ring:
        runs = [each for each in evidence if (old := _old(each)) and old.digests == held.digests]
        found.append((f"from {held.version}, which the ring has: ", runs))
    for version in asked.from_versions:
        if not (held and asked.from_ring and held.version == version):
            contents = known(version)
            runs = [
                each
                for each in evidence
                if (old := _old(each))
                and old.version == version
                and old.machine == each.evidence.subject.machine
                and (not contents or old.digests in contents)
            ]
            found.append((f"from {version}: ", runs))
    return found or [("", list(evidence))]


def _old(stored: Stored) -> Subject | None:
    return stored.evidence.header.from_release


def in_the_future(finished: datetime, now: datetime) -> bool:
    """Whether a time is one that has not been: nobody can say what else is wrong there."""
    return finished > now + _CLOCKS


def _against(stored: Stored, asked: RingPolicy, now: datetime) -> list[str]:
    header, records = stored.evidence.header, stored.evidence.records
    reasons = []
    if header.from_release is None:
        reasons.append("it does not say from which release")
    elif header.from_release.digests.slot == header.subject.digests.slot:
        reasons.append("it is an update of the release to itself")
    if not any(matches(pattern, header.lab) for pattern in asked.labs):
        reasons.append(f"lab {header.lab} is not one of {', '.join(asked.labs)}")
    if other := sorted(header.kinds - set(asked.boards)):
        reasons.append(f"it is of a board that is {other[0]}, not {' or '.join(asked.boards)}")
    for part in header.foreign:
        if not any(
            matches(each, told) for each in asked.parts for told in (part.distribution, part.of)
        ):
            reasons.append(f"a part of others had a say in it, which parts does not name: {part}")
    if in_the_future(header.begun, now):
        reasons.append("it begins on a day that is still to come: set the clocks")
    days = max([(now - record.finished).days for record in records], default=0)
    if days >= asked.max_age_days:
        reasons.append(f"it is {days} days old, at most {asked.max_age_days} count")
    reasons += _against_harness(header.tools.get("harness"), asked)
    if (own := header.tools.get("project")) is not None:  # recipes, labs, scenarios: not ours
        reasons += _against_commit("product folder", own, asked)
    return reasons


def _against_harness(told: object, asked: RingPolicy) -> list[str]:
    told = told if isinstance(told, dict) else {}
    known = [
        each for each in asked.harness.versions or (tools.own_version(),) if each != tools.UNKNOWN
    ]
    reasons = []
    if told.get("version") not in known:
        is_of = f"it is of harness {told.get('version', 'unknown')}"
        reasons.append(f"{is_of}, not of {' or '.join(known) or 'one whose version is known'}")
    return reasons + _against_commit("harness", told, asked)


def _against_commit(what: str, told: object, asked: RingPolicy) -> list[str]:
    """Code that is not all in the commit that is named."""
    dirty = told.get("dirty") if isinstance(told, dict) else None
    if dirty is False or asked.harness.dirty:
        return []
    if dirty:
        return [f"its {what} had changes that are in no commit"]
    return [f"nobody can say of which commit its {what} was"]
