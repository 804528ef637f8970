"""What is known of a recording's crash states: boots that were made, and all that they decide.

A boot (a *proof*) decides every state that agrees with it in all that it read; see `footprint` for
what "agrees" means. States of the boots that followed a cut (nested cuts) are states like others.
Nothing is kept here that cannot be worked out again from the recording and its proofs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.crash.equivalence.classes import Classes, StateClass, StateKind
from harness.crash.equivalence.enumeration import Enumerated, Enumeration
from harness.crash.equivalence.footprint import Mask, Picture
from harness.crash.equivalence.order import in_turns
from harness.crash.exploration import aspects
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.classified import Classified
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.recorded_disk import RecordedDisk
from harness.crash.exploration.ways_back import WaysBack
from harness.crash.recording.phases import EVERYWHERE
from harness.crash.recording.recording import Recording
from harness.crash.states.contents import Contents
from harness.crash.states.cut import CrashState
from harness.crash.states.disk_content import DiskContent
from harness.crash.states.writes import Writes
from harness.errors import ConfigurationError
from harness.medium.model import Model


class Exploration:
    """The crash states of a recording. `seed` decides which mixtures of many writes are tried, and
    which of the pruned states are sampled; `window`: how many writes that it has answered a card
    may lose all the same. `contents`: of an exploration whose states compare with these."""

    def __init__(
        self,
        recording: Recording,
        *,
        seed: int,
        window: int = 0,
        contents: Contents | None = None,
    ) -> None:
        if window and recording.model != Model.SD:
            raise ConfigurationError(
                f"{recording.folder}: recorded on a {recording.model}, which has a cache anyway",
                hint="only a card's model can be read again with a cache",
            )
        self.recording, self.seed, self.window = recording, seed, window
        self.booted: list[Booted] = []
        self._first: dict[CrashState, Booted] = {}  # boot of each state: that others follow
        self.carried: list[Booted] = []
        self.apart: set[CrashState] = set()  # see `tell_apart`
        self.disk = RecordedDisk(recording, contents or Contents())
        self.read_set = self.disk.read_set()
        self._writes: dict[CrashState | None, Writes] = {
            None: self._read(recording.log, self.disk.image, recording.end + 1)
        }
        self._logs: list[Enumeration] = []
        self._add_log(None)
        # All that follows from the above, until something is added to it.
        self._classified: Classified | None = None
        self._decided: dict[StateClass, Booted] | None = None
        self._second: list[StateClass] | None = None
        self._ways_back: WaysBack | None = None

    # What there is

    @property
    def model(self) -> str:
        """Of the medium, as results name it: a card's cache makes it another one."""
        return f"{self.recording.model}~{self.window}" if self.window else self.recording.model

    def classified(self) -> Classified:
        """All states in classes; anew, if a boot has read what none had read before."""
        if self._classified is None:
            self._classified = self._classify()
            while self.read_set.add_recovered():
                self._classified = None  # megabytes
                self._classified = self._classify()
            self._forget()
        return self._classified

    @property
    def logs(self) -> list[Enumerated]:
        """The states of all logs; those of the recording itself come first."""
        return [self.classified().logs[each] for each in self._logs]

    @property
    def main(self) -> Enumerated:
        """The states of the recording itself."""
        return self.logs[0]

    @property
    def writes(self) -> list[Writes]:
        """All logs; that of the recording itself comes first."""
        return [each.writes for each in self._logs]

    @property
    def cut_again(self) -> set[CrashState]:
        """The states in whose boots cuts are explored, too."""
        return {each.before for each in self._logs if each.before}

    def tell_apart(self, states: Iterable[CrashState]) -> bool:
        """States whose kinds must not be taken for like any other, whatever the rules say: their
        readers have said otherwise (`audit`). Whether any of them is new."""
        new = set(states) - self.apart
        self.apart |= new
        if new:
            self._classified = None
        return bool(new)

    def _forget(self) -> None:
        self._decided = self._second = self._ways_back = None

    def _classify(self) -> Classified:
        footprint = self.read_set.survey({str(state): self.left(state) for state in self.apart})
        classes = Classes(self.seed)
        logs = {each: each.run(footprint, classes) for each in self._logs}
        found = Classified(footprint, classes, logs)
        for each in (*self.booted, *self.carried):
            found.look(each)
        return found

    # What boots decide

    @property
    def deciders(self) -> list[Booted]:
        """Boots that decide states; those of this recording come first."""
        return [*(each for each in self.booted if not each.sample), *self.carried]

    def decided(self) -> dict[StateClass, Booted]:
        """Which boot decides which class: the first one that agrees, and whose way back is known to
        be that of the class (`ways_back`)."""
        classified = self.classified()
        if self._decided is None:
            self._decided = classified.decided(self.deciders, self.ways_back())
        return self._decided

    def ways_back(self) -> WaysBack:
        """What is read after the probe, by the boots that were asked to come back."""
        classified = self.classified()
        if self._ways_back is None:
            there = [each for each in (*self.booted, *self.carried) if each.proof.came_back]
            self._ways_back = WaysBack(classified, there)
        return self._ways_back

    def deciding(self) -> dict[Booted, list[StateKind]]:
        """Each boot with the kinds of states that it decides, in the order of the logs."""
        found: dict[Booted, list[StateKind]] = {}
        decided = self.decided()
        for log in self.logs:
            for one in log.classes:
                if one in decided:
                    found.setdefault(decided[one], []).extend(one.kinds)
        return {by: list(dict.fromkeys(kinds)) for by, kinds in found.items()}

    def decider(self, state: CrashState) -> Booted | None:
        """The boot that decides any state, if one does."""
        return self._decider(self.like(state))

    def undecided(self) -> list[StateClass]:
        """Classes of the recorded update that no boot decides yet; see `order`."""
        decided = self.decided()
        return in_turns([each for each in self.main.classes if each not in decided])

    def second_cuts(self) -> list[StateClass]:
        """Of the second cuts that no boot decides, as few as show each aspect that no boot has had
        (`aspects`)."""
        self.decided()
        if self._second is None:
            self._second = list(aspects.second_cuts(self))
        return self._second

    def one_way(self) -> list[CrashState]:
        """Booted states with an aspect from which no boot has come back after the probe."""
        return list(aspects.one_way(self))

    def comes_back(self, state: CrashState, under_way: Iterable[CrashState]) -> bool:
        """Whether a boot of a state is to come back after the probe: it shows an aspect that no
        boot has come back from, nor one of those under way that are to, or content that those have
        read after the probe. In the factory's first boot each single cut is asked: whether an
        identity stays is the question there."""
        if not state.nested and self.recording.in_factory(state.first.at):
            return True
        one, others = self.like(state), [self.like(each) for each in under_way]
        return aspects.is_new(self, one, others) or not self.ways_back().known(one, others)

    def samples(self) -> list[tuple[Booted, Booted]]:
        """Each boot of the sample with the boot that decides its state. One that nothing decides
        any more, because boots after it have read more, shows nothing."""
        pairs = ((each, self._decider(self.look(each))) for each in self.booted if each.sample)
        # A state that was booted again, to come back this time, was decided by no rule.
        return [
            (e, by) for e, by in pairs if by and (by.carried or e.proof.state != by.proof.state)
        ]

    def checks(self) -> Iterator[tuple[Booted, Booted]]:
        """Each boot, of the sample or not, with each other one that decides its state as well: they
        must have ended alike. A boot that was late, or made by hand, is a check like any other."""
        for each in self.booted:
            one = self.look(each)
            for by in self.deciders:
                if by is not each and self.classified().agreeing(by, [one])[0]:
                    yield each, by

    def _decider(self, one: StateClass) -> Booted | None:
        ways = self.ways_back()
        return next((each for each in self.deciders if ways.decides(each, one)), None)

    # What a state is

    def like(self, state: CrashState) -> StateClass:
        """A class with that state's picture; it is not among all classes."""
        footprint, content = self.classified().footprint, self.left(state)
        factory = self.recording.in_factory(state.first.at)
        picture = footprint.picture_of(content)
        return StateClass(picture, self.disk.filled(content), factory)

    def look(self, booted: Booted) -> StateClass:
        """The same of a booted state."""
        return self.classified().look(booted)

    def left(self, state: CrashState) -> DiskContent:
        """What power cuts leave of the disk."""
        return self._written(state.before).left(state.last)

    def rule(self, picture: Picture, by: Booted) -> str:
        """How a boot decides a state of that picture; see `Classified`."""
        return self.classified().rule(picture, by)

    def equal(self, state: CrashState, picture: Picture, by: Booted) -> bool:
        """Whether a state of the recording's own log, of that picture, is the one that was booted,
        by content."""
        if state.nested or by.nested or by.carried:
            return False
        if self.look(by).picture.digest != picture.digest:
            return False
        sectors = self.writes[0].sectors
        return bool(np.array_equal(self.left(state).at(sectors), by.content.at(sectors)))

    # What becomes known

    def fits(self, proof: Proof) -> bool:
        """Whether a proof is of a state with the cache that is explored."""
        return all(cut.loss.window == self.window for cut in proof.state.cuts)

    def add(self, proof: Proof, *, sample: bool) -> Booted:
        """One more boot."""
        content = self.left(proof.state)
        slots, reads = self.disk.filled(content), self.dependence(proof, content)
        for (name, images), filled in zip(self.disk.slots.items(), slots, strict=True):
            images.settle(reads, filled, judged=name in proof.judged_slots)
        booted = Booted(
            proof=proof,
            read_bits=np.packbits(reads),
            slots=slots,
            content=content,
            sample=sample,
            late_bits=np.packbits(self.disk.read_late(proof)),
        )
        self.booted.append(booted)
        self._first.setdefault(proof.state, booted)
        new = self.read_set.add_reads(reads)
        if self.read_set.add_recovered() or new:
            self._classified = None
        self._forget()
        return booted

    def dependence(self, proof: Proof, content: DiskContent) -> Mask:
        """The sectors that a boot of a state depends on: what it read, and what recovery wrote."""
        return self.disk.read_by(proof) | self.read_set.recovered(content)

    def carry(self, found: Callable[[], list[Booted]]) -> None:
        """Let boots of other recordings decide states, too: those of `found` that decide any. The
        others leave no trace. Before any boot of this recording is added, so that always the same
        ones are taken."""
        before = self.read_set.marks()
        self._take(found())
        deciding = set(self.decided().values())
        self.read_set.back_to(before)
        self._take([each for each in self.carried if each in deciding])

    def _take(self, found: list[Booted]) -> None:
        self.carried = found
        for each in found:
            self.read_set.recovered(each.content)
            self.read_set.add_reads(each.reads)
        self._classified = None

    def nest(self) -> bool:
        """Add the cut points of every boot that followed a single cut; whether any are new."""
        known = self.cut_again
        for each in self.booted:
            if not (each.nested or each.sample or each.proof.state in known):
                self._add_log(each.proof.state)
        # In the order of the proofs on disk, whichever boot has come back first.
        names: dict[CrashState | None, str] = {
            each.proof.state: each.proof.folder.name for each in self.booted
        }
        self._logs[1:] = sorted(self._logs[1:], key=lambda log: names[log.before])
        if len(self.cut_again) == len(known):
            return False
        self._classified = None
        return True

    def put_in_order(self) -> None:
        """As if all boots had been read back from disk: what follows from them must not depend on
        which of two workers was faster."""
        self.booted.sort(key=lambda each: (len(each.proof.state.cuts), each.proof.folder.name))
        self._forget()

    # Logs

    def followed_log(self, state: CrashState) -> str:
        """SHA-256 of the write log that a second cut is in; of a single one nothing."""
        return self._first[state.before].proof.log.sha256 if state.before else ""

    def _add_log(self, before: CrashState | None) -> None:
        """The cuts in a boot: the one that followed a state, or those that were recorded."""
        stretches = self.recording.stretches
        if before:
            factory = self.recording.in_factory(before.first.at)
            stretches = (replace(EVERYWHERE, factory=factory),)
        found = Enumeration(
            self._written(before),
            tuple(self.disk.slots.values()),
            stretches,
            before=before,
            seed=self.seed,
            tears=self.disk.borders,
        )
        self.read_set.add_log(found.writes.sectors)
        self._logs.append(found)

    def _written(self, state: CrashState | None) -> Writes:
        """The log of the boot that followed a state; of none, the recording's."""
        if state not in self._writes:
            each = self._first.get(state) if state else None
            if each is None:
                raise ConfigurationError(
                    f"{self.recording.folder}: no boot of {state} is known, so nothing follows it"
                )
            self._writes[state] = self._read(each.proof.folder / "log.bin", each.content)
        return self._writes[state]

    def _read(self, log: Path, under: DiskContent, end: int | None = None) -> Writes:
        model = Model(self.recording.model)
        return Writes(self.disk.contents, under, log, model, end, window=self.window)
