"""The small recording, explored to its end in this process: a device that does what it says on the
boot selection, and takes no time."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.crash.exploration import audit, prove, summary
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.sample import choose_sample
from harness.crash.exploration.sources import sources
from harness.crash.exploration.workers import Task
from harness.crash.recording.recording import FILE, Recording
from harness.crash.states.cut import CrashState
from harness.judge.verdict import Verdict
from tests.unit.crash import recordings
from tests.unit.crash.logs import content
from tests.unit.crash.recordings import LAYOUT, OLD, Log


def boot(run: str, state: CrashState, task: Task) -> int:
    """What a worker does: a proof in its folder. What runs is what the boot selection names first,
    if that is whole. The boot counts itself, and takes that back."""
    found = Recording.load(Path(run))
    proofs = prove.proofs(found) if state.nested else []
    image = content(sources(found, state, proofs, follows=task.follows))
    block, order = recordings.selected(image)
    images = [image[LAYOUT[slot.region].offset :][: len(OLD)] for slot in order]
    whole = (OLD, found.new.slot_image.read_bytes())
    runs, slot = next(each for each in zip(images, order, strict=True) if each[0] in whole)
    verdict = Verdict.OLD if runs == OLD else Verdict.NEW
    leave(found, task, state, verdict, block, slot=str(slot))
    return task.number


def leave(
    found: Recording,
    task: Task,
    state: CrashState,
    verdict: Verdict,
    block: bytes,
    *,
    slot: str = "",
) -> None:
    """The proof of a boot that wrote the boot selection and the data partition."""
    counted = block.replace(b"_left=3", b"_left=2")

    def write(log: Log) -> Log:
        return log.write(0, counted).write(512, counted).flush().data().flush().select(block)

    recordings.proof(
        found,
        task.number,
        state,
        verdict,
        slot=slot,
        sample=task.sample,
        came_back=task.comes_back,
        follows=task.follows,
        wrote=write,
    )


def explore(folder: Path) -> None:
    """Every class, second cuts and a sample: results.json of a run that is complete."""
    found = Recording.load(folder)
    shutil.rmtree(folder / prove.PROOFS, ignore_errors=True)
    explored = resumed(found, seed=1)
    for number, (state, sample) in enumerate(_wanted(explored)):
        task = Task(
            number=number,
            sample=sample,
            comes_back=sample or explored.comes_back(state, ()),
            follows=explored.followed_log(state),
        )
        boot(str(folder), state, task)
        proof = Proof.load(folder / prove.PROOFS / f"{number:05}", found)
        explored.add(proof, sample=sample)
    audit.save(audit.audit(explored, explored.deciding()), folder)
    summary.write(explored, folder, seconds=1.0, jobs=1)


def _wanted(explored: Exploration) -> Iterator[tuple[CrashState, bool]]:
    new = True
    while new:
        while left := explored.undecided() or explored.second_cuts():
            yield max(left[0].kinds, key=lambda kind: kind.count).states[0], False
        new = explored.nest()
    for state in choose_sample(explored):
        yield state, True


def copied(folder: Path, target: Path) -> Path:
    """A copy of a recording with its releases, as `recordings.recording` leaves them in `folder`:
    a copy elsewhere is the same recording."""
    before = Recording.load(folder / "run").id
    shutil.copytree(folder, target, symlinks=True)
    file = target / "run" / FILE
    file.write_text(file.read_text().replace(str(folder), str(target)))
    assert Recording.load(target / "run").id == before
    return target / "run"


def change(file: Path, **keys: Any) -> None:
    """Put other values into a JSON file, for keys at its top."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))
