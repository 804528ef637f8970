"""A device that dies on its way back from the probe, by something that is read only then."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.crash.exploration import prove
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.sources import sources
from harness.crash.exploration.workers import Task
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import CrashState
from harness.judge.verdict import Verdict
from tests.unit.crash import explored, recordings
from tests.unit.crash.logs import content
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, SECTOR

LATE = (LAYOUT["data"].offset + DATA_SIZE) // SECTOR - 5  # the sector; no first boot reads it
VALUES = range(1, 20)
BAD = 17  # what must not be in it


@pytest.fixture
def found(tmp_path: Path) -> Recording:
    """Each value is in the sector for some cut points."""
    extra = [(LATE * SECTOR, bytes([n]) * SECTOR) for n in VALUES]
    return recordings.recording(tmp_path, lambda _: extra, careful=True)


def value(found: Recording, state: CrashState) -> int:
    proofs = prove.proofs(found) if state.nested else []
    return content(sources(found, state, proofs))[LATE * SECTOR]


def boot(exploration: Exploration, state: CrashState) -> Proof:
    """What a worker does; who is asked to come back reads the sector then."""
    found, number = exploration.recording, len(exploration.booted)
    back = exploration.comes_back(state, ())
    explored.boot(str(found.folder), state, Task(number=number, comes_back=back))
    proof = Proof.load(found.folder / prove.PROOFS / f"{number:05}", found)
    if back:
        proof = replace(proof, reads=[*proof.reads, (LATE, 1)])
        if value(found, state) == BAD:
            proof = replace(
                proof, verdict=Verdict.BRICKED, final="", slot="", broken=recordings.BROKEN
            )
        proof.save()
    exploration.add(proof, sample=False)
    return proof


def states(exploration: Exploration) -> Iterator[CrashState]:
    for one in exploration.main.classes:
        for kind in one.kinds:
            yield from kind.states


def test_no_state_is_decided_whose_way_back_nobody_has_seen(found: Recording) -> None:
    """Those with the bad value were decided by the one boot that had not been asked to come back:
    "complete, 0 bad"."""
    exploration = resumed(found, seed=1)
    while left := exploration.undecided():
        boot(exploration, left[0].kinds[0].states[0])
    assert not all(each.proof.came_back for each in exploration.booted)
    ends = {
        (value(found, state), by.proof.verdict)
        for state in states(exploration)
        if (by := exploration.decider(state))
    }
    assert {verdict for at, verdict in ends if at == BAD} == {Verdict.BRICKED}
    assert not any(verdict is Verdict.BRICKED for at, verdict in ends if at != BAD)
    assert {at for at, _ in ends} >= set(VALUES)
