"""From an exploration to results.json: every cut point with its verdict, and by which rule."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.crash.disk.structures import Structures
from harness.crash.equivalence import mixtures
from harness.crash.equivalence.classes import StateClass, StateKind
from harness.crash.equivalence.enumeration import Enumerated
from harness.crash.equivalence.families import Family
from harness.crash.exploration import audit
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.ends import verdict_of
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.sample import choose_sample
from harness.crash.recording.log import opened
from harness.crash.recording.recording import Recording
from harness.crash.results import results
from harness.crash.results.results import Results
from harness.crash.results.table import ResultTable
from harness.crash.states.contents import hashes
from harness.crash.states.cut import CrashState
from harness.judge.verdict import Verdict
from harness.medium.log import CHANGES, RecordKind

_ORDER = list(Verdict)  # best first


def write(exploration: Exploration, folder: Path, *, seconds: float, jobs: int) -> Results:
    """Work out the results, write results.json into the recording's folder, return them."""
    found = results_of(exploration, seconds=seconds, jobs=jobs)
    data = {"schema": results.SCHEMA, **_as_data(found)}
    files.write_whole(folder / results.FILE, json.dumps(data).encode() + b"\n")
    return results.load(folder)


def _as_data(found: Results) -> dict[str, Any]:
    data = {each.name: getattr(found, each.name) for each in fields(found) if each.init}
    for name in ("recording", "counts", "audit"):
        data[name] = asdict(data[name]) if data[name] else None
    for name in ("proofs", "bad", "disagreements"):
        data[name] = [asdict(each) for each in data[name]]
    for name in ("writes", "points"):
        data[name] = data[name].data()
    del data["sha256"]
    return data


def results_of(exploration: Exploration, *, seconds: float, jobs: int) -> Results:
    """The results as data."""
    exploration.put_in_order()
    cuts = sorted(exploration.main.points.items())
    points = ResultTable(results.Point, (_point(exploration, at, kinds) for at, kinds in cuts))
    verdicts: Counter[Verdict] = Counter()
    for each, count in points.counted("verdicts"):
        verdicts.update({verdict: n * count for verdict, n in each.items()})
    undecided = sum(points.column("undecided"))
    unlike = tuple(disagreements(exploration))
    bad = tuple(_bad(exploration))
    nested = _nested(exploration)
    sampled, left = len(exploration.samples()), choose_sample(exploration)
    booted = [each for each in exploration.booted if not each.nested and not each.sample]
    proofs = tuple(_proofs(exploration))
    one_way = len(exploration.one_way())
    times = [each.proof.seconds for each in exploration.booted]
    rules = _rules(exploration)
    return Results(
        recording=results.recorded(exploration.recording, exploration.model),
        writes=ResultTable(results.Write, _writes(exploration.recording)),
        counts=results.Counts(
            cut_points=exploration.main.cut_points,
            losses={each: exploration.main.families[each] for each in Family},
            distinct=exploration.main.distinct,
            booted=len(booted),
            decided=dict(rules),
            undecided=undecided,
            sampled=sampled,
            to_sample=sampled + len(left),
            disagreements=len(unlike),
            came_back=sum(each.proof.came_back for each in exploration.booted),
            one_way=one_way,
            nested=nested,
        ),
        verdicts=dict(verdicts),
        points=points,
        proofs=proofs,
        bad=bad,
        disagreements=unlike,
        audit=audit.made(exploration),
        timing={
            "seconds": round(seconds, 3),
            "boot_seconds_mean": round(sum(times) / len(times), 2) if times else 0.0,
            "jobs": jobs,
        },
        seed=exploration.seed,
        complete=not undecided and not nested.missing and not one_way and not left,
    )


def _point(exploration: Exploration, at: int, kinds: Counter[StateKind]) -> results.Point:
    decided, recording = exploration.decided(), exploration.recording
    verdicts: Counter[Verdict] = Counter()
    undecided, worst, loss = 0, "", ""
    for kind, count in kinds.items():
        by = decided.get(kind.parent)
        if by is None:
            undecided += count
            continue
        verdict, _ = verdict_of(recording, at, by.proof)
        verdicts[verdict] += count
        if not worst or _ORDER.index(verdict) > _ORDER.index(Verdict(worst)):
            worst, loss = str(verdict), results.loss_at(at, _state_at(kind, at))
    booted = sum(each.proof.state.first.at == at for each in exploration.booted if not each.nested)
    return results.Point(
        at=at, verdicts=dict(verdicts), undecided=undecided, booted=booted, worst=worst, loss=loss
    )


def _state_at(kind: StateKind, at: int) -> CrashState:
    """A state of the kind, at that position where one is remembered."""
    here = [state for state in kind.states if state.first.at == at]
    return (here or kind.states)[0]


def _rules(exploration: Exploration) -> Counter[str]:
    """By which rule each cut point was decided."""
    decided, rules = exploration.decided(), Counter[str]()
    booted = [e for e in exploration.booted if not e.nested and not e.sample]
    own = {exploration.look(each).picture.digest for each in booted}
    counts = Counter[StateKind]()
    for kinds in exploration.main.points.values():
        counts.update(kinds)
    for kind, count in counts.items():
        if by := decided.get(kind.parent):
            alike = kind.picture.digest in own and not by.carried
            rules["read-set" if alike else exploration.rule(kind.picture, by)] += count
    # What is equal in content, but in the first boot, may be decided by a rule of its own.
    equal = min(_equal_content(exploration, booted), rules["read-set"])
    rules["booted"] = len(booted)
    rules["equal-content"] = equal - len(booted)
    rules["read-set"] -= equal  # a state equal to a booted one agrees in what it read, too
    return rules


def _equal_content(exploration: Exploration, booted: list[Booted]) -> int:
    """Cut points whose whole content is that of a state that was booted, those that were booted
    included. Of families that are not compared whole only these are known."""
    sectors = exploration.writes[0].sectors
    plain = exploration.disk.image.at(sectors)
    wanted = []
    for each in booted:
        ids = each.content.at(sectors)
        differs = ids != plain
        where = sectors[differs]
        both = hashes(where, ids[differs]) ^ hashes(where, plain[differs])
        wanted.append(np.bitwise_xor.reduce(both, initial=np.uint64(0)))
    found = int(np.isin(exploration.main.hashes, np.array(wanted, np.uint64)).sum())
    cuts = {each.proof.state.first for each in booted}
    found += sum(not mixtures.family(cut).compared for cut in cuts)
    return max(found, len(booted))


def _nested(exploration: Exploration) -> results.Nested:
    decided = exploration.decided()
    undecided = sum(
        count
        for log in exploration.logs[1:]
        for kinds in log.points.values()
        for kind, count in kinds.items()
        if kind.parent not in decided
    )
    cut_again = exploration.cut_again
    unlooked = sum(
        each.proof.state not in cut_again
        for each in exploration.booted
        if not each.nested and not each.sample
    )
    return results.Nested(
        cut_points=sum(log.cut_points for log in exploration.logs[1:]),
        distinct=sum(log.distinct for log in exploration.logs[1:]),
        booted=sum(each.nested and not each.sample for each in exploration.booted),
        undecided=undecided,
        missing=len(exploration.second_cuts()) + unlooked,
    )


def _proofs(exploration: Exploration) -> Iterator[results.ProofSummary]:
    decides: Counter[int] = Counter()
    for one, by in exploration.decided().items():
        decides[id(by)] += one.count
    used = [each for each in exploration.carried if decides[id(each)]]
    for each in (*exploration.booted, *used):
        proof = each.proof
        yield results.ProofSummary(
            id=_id(each),
            state=str(proof.state),
            verdict=proof.verdict,
            final=proof.final,
            boots=proof.boots,
            seconds=proof.seconds,
            decides=decides[id(each)],
            why=tuple(f"{broken.name}: {broken.detail}" for broken in proof.broken),
            sample=each.sample,
            nested=each.nested,
            carried=proof.recording if each.carried else "",
            ended=proof.ended,
        )


def _id(each: Booted) -> str:
    """A proof's name in the results; those of other recordings may have the same folders."""
    name = each.proof.folder.name
    return f"{each.proof.recording:.12}/{name}" if each.carried else name


def _bad(exploration: Exploration) -> Iterator[results.Bad]:
    """One line for each class of states that ends badly, nested ones included, and for each boot
    that did and decides none."""
    named = set[int | str]()
    for log in exploration.logs:
        found = _bad_classes(exploration, log)
        named |= {each.proof for each in found}
        yield from found
    for each in exploration.booted:
        state = each.proof.state
        verdict, why = verdict_of(exploration.recording, state.first.at, each.proof)
        if verdict.failed and _id(each) not in named:  # it decides nothing: nothing is forgotten
            yield results.Bad(
                state=str(state),
                verdict=verdict,
                why=why,
                proof=_id(each),
                at=state.first.at,
                count=0,
            )


def _bad_classes(exploration: Exploration, log: Enumerated) -> list[results.Bad]:
    """Those of one log, in order, with how many cut points come to each."""
    decided, found = exploration.decided(), dict[StateClass, results.Bad]()
    for at, kinds in sorted(log.points.items()):
        first = log.before.first.at if log.before else at
        for kind, count in kinds.items():
            by, known = decided.get(kind.parent), found.get(kind.parent)
            if by is None:
                continue
            verdict, why = verdict_of(exploration.recording, first, by.proof)
            if verdict.failed and known:
                found[kind.parent] = replace(known, count=known.count + count)
            elif verdict.failed:
                found[kind.parent] = results.Bad(
                    state=str(_state_at(kind, at)),
                    verdict=verdict,
                    why=why,
                    proof=_id(by),
                    at=first,
                    count=count,
                )
    return list(found.values())


def disagreements(exploration: Exploration) -> Iterator[results.Disagreement]:
    """Boots that came out otherwise than one that decides their state, too."""
    told = set[Booted]()
    for each, by in exploration.checks():
        expected, got = ((e.proof.verdict, e.proof.final, e.proof.slot) for e in (by, each))
        if expected != got and each not in told:
            told.add(each)
            yield results.Disagreement(
                state=str(each.proof.state),
                expected=" ".join(filter(None, expected)),
                got=" ".join(filter(None, got)),
                proof=_id(by),
                sample_proof=each.proof.folder.name,
                why=tuple(f"{broken.name}: {broken.detail}" for broken in each.proof.broken),
            )


def _writes(recording: Recording) -> Iterator[results.Write]:
    structures = Structures.of(recording.old)
    began, first = 0, recording.stretches[0].records.start
    with opened(recording.log) as log:
        for record in log.records():
            change = record.kind in CHANGES
            name = ""
            if change:
                data = log.payload(record) if record.kind is RecordKind.WRITE else b""
                name = structures.name(record.offset, record.length, data)
            if not first <= record.position <= recording.end:
                continue
            began = began or record.monotonic_ns
            fields: dict[str, Any] = {}
            if change:
                fields = {"offset": record.offset, "length": record.length, "structure": name}
                fields["region"] = structures.region(record.offset)
            yield results.Write(
                position=record.position,
                kind=record.kind.name.lower(),
                fua=record.fua,
                milliseconds=(record.monotonic_ns - began) // 1_000_000,
                phase=recording.phase(record.position),
                **fields,
            )
