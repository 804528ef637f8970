"""Results that contradict themselves: everything in them that follows from something else in them.

A file that was cut, patched or put together from two others is refused before anybody reads a
verdict off it. Whether it is what recording and proofs come to is another question (`recount`).
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.crash.equivalence.classes import KEPT
from harness.crash.recording.phases import PROVISIONING, broken_phases
from harness.crash.results.sampling import least_sample
from harness.crash.states.cut import possible
from harness.judge.verdict import Verdict

if TYPE_CHECKING:
    from harness.crash.results.results import ProofSummary, Results

_ORDER = list(Verdict)
_ANYWHERE = 1 << 48  # a state of another recording
_PLAIN = ("", "none", "all")  # losses that every position has


def contradictions(found: "Results") -> Iterator[str]:
    """One line each; each starts with the key."""
    yield from broken_phases(found.recording.phases, found.recording.start, found.recording.end)
    yield from _positions(found)
    yield from _sums(found)
    yield from _points(found)
    yield from _proofs(found)
    yield from _backing(found)
    yield from _endings(found)


def _positions(found: "Results") -> Iterator[str]:
    """Every record once and in order, and cut points behind each that is not a mark."""
    start, end = found.recording.first, found.recording.end
    positions = list(found.writes.column("position"))
    if positions != list(range(start, end + 1)):
        told = f"{positions[0]:,} to {positions[-1]:,}" if positions else "none"
        yield f"writes: {len(positions):,} records, {told}, are not all from {start:,} to {end:,}"
        return
    kinds = zip(positions, found.writes.column("kind"), strict=True)
    idle = [range(p.start, p.end) for p in found.recording.phases if p.name == PROVISIONING]
    wanted = [
        at + 1 for at, kind in kinds if kind != "mark" and not any(at in each for each in idle)
    ]
    if list(found.points.column("at")) != wanted:
        yield f"points: {len(found.points):,} log positions are not one behind each write"


def _sums(found: "Results") -> Iterator[str]:
    counts, verdicts = found.counts, Counter[Verdict]()
    for each, rows in found.points.counted("verdicts"):
        verdicts.update({verdict: number * rows for verdict, number in each.items()})
    for verdict in Verdict:
        if verdicts[verdict] != found.count(verdict):
            told = f"the log positions have {verdicts[verdict]:,}"
            yield f"verdicts.{verdict}: {found.count(verdict):,}, but {told}"
    sums = {
        "verdicts": found.verdicts.values(),
        "counts.decided": counts.decided.values(),
    }
    if (total := sum(counts.losses.values())) != counts.cut_points:
        yield f"counts.losses: add up to {total:,} of {counts.cut_points:,} cut points"
    for what, parts in sums.items():
        if (total := sum(parts) + counts.undecided) != counts.cut_points:
            yield f"{what}: add up to {total:,} of {counts.cut_points:,} cut points"
    if sum(found.points.column("undecided")) != counts.undecided:
        yield f"counts.undecided: {counts.undecided:,}, the log positions have another number"
    for name, part in (("counts", counts), ("counts.nested", counts.nested)):
        if not part.undecided <= part.cut_points >= part.distinct:
            yield f"{name}: more states than {part.cut_points:,} cut points"


def _points(found: "Results") -> Iterator[str]:
    """What a position says of its worst state; each text is looked at once."""
    columns = {f"points.{name}": found.points.column(name) for name in ("undecided", "booted")}
    columns |= {f"writes.{name}": found.writes.column(name) for name in ("offset", "length")}
    columns["writes.milliseconds"] = found.writes.column("milliseconds")
    yield from (f"{name}: below 0" for name, each in columns.items() if min(each, default=0) < 0)
    rows = zip(found.points.column("verdicts"), found.points.column("worst"), strict=True)
    for verdicts, worst in {(tuple(verdicts.items()), worst) for verdicts, worst in rows}:
        seen = [verdict for verdict, number in verdicts if number]
        if len(seen) != len(verdicts) or min((number for _, number in verdicts), default=1) < 0:
            yield f"points.verdicts: {dict(verdicts)}"
        elif worst != (max(seen, key=_ORDER.index) if seen else ""):
            yield f"points.worst: {worst!r} of {', '.join(seen) or 'none'}"
    pairs = zip(found.points.column("at"), found.points.column("loss"), strict=True)
    states = (loss if "/" in loss else f"{at}/{loss}" for at, loss in pairs if loss not in _PLAIN)
    if wrong := next((each for each in states if not possible(each, found.recording.end)), ""):
        yield f"points.loss: {wrong[:80]!r} is no crash state"


def _proofs(found: "Results") -> Iterator[str]:
    """Boots, one by one, against the numbers of them."""
    counts, nested = found.counts, found.counts.nested
    own = [each for each in found.boots if not each.nested and not each.sample]
    second = [each for each in found.boots if each.nested and not each.sample]
    if not counts.booted == len(own) == counts.decided.get("booted", 0):
        told = f"{len(own)} proofs are neither a sample nor a second cut"
        yield f"counts.booted: {counts.booted:,}, but {told}"
    if nested.booted != len(second):
        yield f"counts.nested.booted: {nested.booted:,}, but {len(second)} proofs are second cuts"
    samples = sum(each.sample for each in found.proofs)
    if counts.sampled > samples:
        yield f"counts.sampled: {counts.sampled:,}, but {samples} proofs are samples"
    boots = len(own) + len(second)
    # Of what each boot decides so many states are remembered at least, but for those booted.
    there = sum(min(KEPT, each.decides) for each in found.proofs) - boots
    wanted = max(counts.to_sample, min(least_sample(boots), there))
    if found.complete and counts.sampled < wanted:
        yield f"counts.sampled: {counts.sampled:,} of {wanted:,} that are asked for"
    if len({each.id for each in found.proofs}) != len(found.proofs):
        yield "proofs: an id occurs twice"
    carried = [each for each in found.proofs if each.carried]
    if any(each.sample or not each.decides or each.verdict.failed for each in carried):
        yield "proofs: a carried one that decides nothing, or failed"
    if (total := sum(each.decides for each in carried)) < counts.decided.get("carried", 0):
        told = f"{counts.decided['carried']:,}"
        yield f"counts.decided.carried: {told}, but carried proofs decide {total:,}"
    for each in found.proofs:
        end = _ANYWHERE if each.carried else found.recording.end
        state = possible(each.state, end)
        if state is None or each.nested != state.nested:
            yield f"proofs.{each.id}: {each.state[:80]!r} is no such state"
    decided = counts.cut_points - counts.undecided + nested.cut_points - nested.undecided
    if (total := sum(each.decides for each in found.proofs)) != decided:
        yield f"proofs: decide {total:,} of {decided:,} cut points that are decided"


def _backing(found: "Results") -> Iterator[str]:
    """No verdict without a boot that ended in it; a failing one may also be what a good end is
    worth in the wrong place (`ends.verdict_of`): then a bad state says so."""
    proofs = {each.id: each for each in found.proofs}
    ends = {each.verdict for each in found.proofs if each.decides}
    bad = Counter[Verdict]()
    for each in found.bad:
        bad[each.verdict] += each.count
        by = proofs.get(each.proof)
        if (
            by is None
            or not _worsened(by, each.verdict)
            or (not by.decides if each.count else by.carried)
        ):
            yield f"bad.{each.state[:80]}: no proof {each.proof!r} that ends {each.verdict}"
    for verdict in (each for each in Verdict if found.count(each)):
        if verdict not in ends and not bad[verdict]:
            yield f"verdicts.{verdict}: no proof ended so"
        if verdict.failed and bad[verdict] < found.count(verdict):
            yield f"bad: {bad[verdict]:,} of {found.count(verdict):,} {verdict} cut points"
    if not found.counts.nested.cut_points and sum(bad.values()) != sum(
        found.count(verdict) for verdict in Verdict if verdict.failed
    ):
        yield "bad: more cut points than are bad"
    # A boot that failed itself fails wherever it decides, and also when it decides nothing.
    named = {each.proof for each in found.bad}
    for proof in found.proofs:
        if proof.verdict.failed and proof.id not in named:
            yield f"proofs.{proof.id}: ended {proof.verdict}, but no bad state names it"


def _worsened(proof: "ProofSummary", verdict: Verdict) -> bool:
    return verdict.failed and (verdict is proof.verdict or verdict is Verdict.INCONSISTENT)


def _endings(found: "Results") -> Iterator[str]:
    """What is said of the whole."""
    counts, proofs = found.counts, {each.id: each for each in found.proofs}
    if counts.disagreements != len(found.disagreements):
        yield f"counts.disagreements: {counts.disagreements}, {len(found.disagreements)} are named"
    for each in found.disagreements:
        if each.proof not in proofs or each.sample_proof not in proofs:
            yield f"disagreements.{each.state[:80]}: of proofs that there are not"
    if found.complete and (counts.undecided or counts.nested.missing or counts.one_way):
        yield "complete: true, but something is undecided or missing"
