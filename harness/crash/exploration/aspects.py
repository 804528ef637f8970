"""What a crash state can show that others have not: where each kind of condition is asked once.

Two questions are too dear to be asked of every state that is booted: a second cut, in the boot that
follows a first one, and the way back from a probe that does not boot (`probe`). They are asked of
as few states as show each *aspect* once: what the slots hold and each copy of the boot selection
says, and which one counts; and the condition of journal and metadata (of which sort, not with which
content), with each structure that is otherwise than in the state whose boot was cut. Each apart in
the factory's first boot, where less is asked.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.crash.equivalence.classes import StateClass
from harness.crash.states.contents import SECTOR
from harness.crash.states.cut import CrashState

if TYPE_CHECKING:
    from harness.crash.exploration.exploration import Exploration


def second_cuts(exploration: "Exploration") -> Iterator[StateClass]:
    """Of the second cuts that no boot decides, as few as show each aspect that no boot has had."""
    decided = exploration.decided()
    before: dict[CrashState | None, StateClass] = {
        each.proof.state: exploration.look(each) for each in exploration.booted
    }
    had = set[object]()
    for each in exploration.booted:
        cut = before.get(each.proof.state.before)
        had |= _aspects(exploration, exploration.look(each), cut)
    open_ = [
        (one, _aspects(exploration, one, before[log.before]))
        for log in exploration.logs[1:]
        for one in log.classes
        if one not in decided
    ]
    for least in (2, 1):  # those first that show two at once
        for one, found in open_:
            if len(found - had) >= least:
                had |= found
                yield one


def one_way(exploration: "Exploration") -> Iterator[CrashState]:
    """States that decide others, one for each aspect that no boot has come back from. What a boot
    decides has its aspects: it reads both copies, and the journal's condition counts."""
    had = _came_back(exploration)
    for each in exploration.deciders:
        if each.nested or each.proof.verdict.failed:
            continue
        found = _aspects(exploration, exploration.look(each))
        if not found <= had:
            had |= found
            yield each.proof.state


def is_new(exploration: "Exploration", one: StateClass, under_way: Iterable[StateClass]) -> bool:
    """Whether a state has an aspect that no boot has come back from; those `under_way` will."""
    had = _came_back(exploration)
    for each in under_way:
        had |= _aspects(exploration, each)
    return not _aspects(exploration, one) <= had


def _came_back(exploration: "Exploration") -> set[object]:
    had = set[object]()
    for each in (*exploration.booted, *exploration.carried):
        if each.proof.came_back:
            had |= _aspects(exploration, exploration.look(each))
    return had


def _aspects(
    exploration: "Exploration", state: StateClass, before: StateClass | None = None
) -> set[object]:
    """Of a state; `before`: the one whose boot was cut."""
    picture, footprint = state.picture, exploration.classified().footprint
    seen, factory = footprint.seen, state.factory
    first, count = (n // SECTOR for n in exploration.recording.layout["boot-selection"])
    names: Iterable[str] = ()
    if before is not None:
        differs = seen[picture.seen != before.picture.seen]
        others = differs[(differs < first) | (differs >= first + count)].tolist()
        names = (exploration.disk.structures.name(at * SECTOR, SECTOR) for at in others)
    selection = exploration.disk.selection(picture, footprint.tracked)
    return {
        (factory, state.slots, selection),
        (factory, picture.condition),
        *((factory, picture.condition, name) for name in names),
    }
