"""What is known of a recording's crash states: boots that were made, and all that they decide.

A boot (a *proof*) decides every state that agrees with it in all that it read; see `landscape` for
what "agrees" means. States of the boots that followed a cut (nested cuts) are states like others.
Nothing is kept here that cannot be worked out again from the recording and its proofs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from harness.clients.selection_format import selection_format
from harness.crash.disk import ext4
from harness.crash.disk.structures import Structures
from harness.crash.equivalence.classes import Classes, StateClass, StateKind
from harness.crash.equivalence.enumerate import Enumeration
from harness.crash.equivalence.footprint import Checked, Landscape, Mask, Picture, SlotImages
from harness.crash.equivalence.order import in_turns
from harness.crash.equivalence.tears import Borders
from harness.crash.exploration import aspects
from harness.crash.exploration.prove import Proof, Runs
from harness.crash.recording.phases import EVERYWHERE
from harness.crash.recording.recording import Recording
from harness.crash.states.contents import SECTOR, Contents, Ids
from harness.crash.states.cut import Sources, cut_off, parse, printed
from harness.crash.states.disk_content import DiskContent, Image
from harness.crash.states.writes import Writes
from harness.errors import ConfigurationError
from harness.medium.model import Model
from harness.product.release import Release


@dataclass(eq=False, slots=True)
class Booted:
    """A proof, and what of it is needed to compare states with it."""

    proof: Proof
    read_bits: npt.NDArray[np.uint8]
    slots: tuple[str, ...]
    sample: bool
    base: DiskContent  # the whole state
    picture: Picture | None = None
    carried: bool = False  # of another recording (`carried`)

    @property
    def reads(self) -> Mask:
        """What it read before it wrote it; with a few sectors too many at the end of the disk."""
        return np.unpackbits(self.read_bits).view(np.bool_)

    @property
    def nested(self) -> bool:
        """Whether it followed a second cut."""
        return ">" in self.proof.state


@dataclass(slots=True, eq=False)
class Group:
    """One log: the recording's, or that of a boot after a cut (`prefix` is its state and `>`)."""

    walk: Enumeration
    prefix: str
    classes: list[StateClass] = field(default_factory=list)  # in the order of the log

    def run(self, classes: Classes) -> None:
        """Go through all states again, and put them into classes."""
        self.walk.run(classes, self.prefix)
        kinds = (kind for at in sorted(self.points) for kind in self.points[at])
        self.classes = list(dict.fromkeys(kind.parent for kind in kinds))

    @property
    def points(self) -> dict[int, Counter[StateKind]]:
        """How many cut points of which kind there are at each log position."""
        return self.walk.points


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
        self.recording, self.seed, self.window = recording, seed, window
        if window and recording.model != Model.SD:
            raise ConfigurationError(
                f"{recording.folder}: recorded on a {recording.model}, which has a cache anyway",
                hint="only a card's model can be read again with a cache",
            )
        self.booted: list[Booted] = []
        self.carried: list[Booted] = []
        self.groups: list[Group] = []
        self._contents = contents or Contents()
        self._model = Model(recording.model)
        flashed = recording.base.stat().st_size
        slots = {
            slot: _slot(self._contents, recording, slot)
            for slot in ("A", "B")
            if f"slot-{slot}" in recording.layout
        }
        self.system = ext4.find(recording.base, recording.layout["data"])
        self._format = selection_format(recording.old.product.bootloader)
        self._attempts = recording.old.product.promises.attempts
        self._copies = [
            tuple(n // SECTOR for n in recording.layout[f"boot-selection-{copy}"])
            for copy in (1, 2)
        ]
        checked = [
            Checked(first=first, count=count, whole=self._whole)
            for first, count in self._copies
            if self._format.CHECKSUM
        ]
        self.landscape = Landscape(self._contents, flashed, slots, self.system, checked)
        for first, count in self._copies:  # the judge reads both, whatever a boot does
            self.landscape.reads[first : first + count] = True
        self.structures = Structures.of(recording.old)
        self._tears = Borders(recording.layout, self.system)
        self.base = Image(self._contents, recording.base)  # what was flashed
        self._writes = {
            "": Writes(
                self._contents,
                self.base,
                recording.log,
                self._model,
                recording.end + 1,
                window=window,
            )
        }
        self._add_group("")
        self.apart: set[str] = set()  # see `tell_apart`
        self._stale = True

    # What there is

    @property
    def model(self) -> str:
        """Of the medium, as results name it: a card's cache makes it another one."""
        return f"{self.recording.model}~{self.window}" if self.window else self.recording.model

    @property
    def main(self) -> Enumeration:
        """The states of the recording itself."""
        return self.groups[0].walk

    def refresh(self) -> None:
        """Put all states into classes again, if a boot has read what none had read before."""
        if not self._stale:
            return
        self._stale = False
        self._classify()
        while self.landscape.grown():
            self._classify()
        self._forget()

    def tell_apart(self, states: Iterable[str]) -> bool:
        """States whose kinds must not be taken for like any other, whatever the rules say: their
        readers have said otherwise (`audit`). Whether any of them is new."""
        new = set(states) - self.apart
        self.apart |= new
        self._stale |= bool(new)
        return bool(new)

    def _forget(self) -> None:
        self._decided: dict[StateClass, Booted] | None = None
        self._second: list[StateClass] | None = None

    def _classify(self) -> None:
        self.landscape.survey()
        tracked = self.landscape.tracked
        for state in self.apart:
            self.landscape.tell_apart(self.left(state).at(tracked), state)
        self.classes = Classes(self.seed)
        for group in self.groups:
            group.run(self.classes)
        for each in (*self.booted, *self.carried):
            each.picture = self._picture_of(each.base)

    @property
    def deciders(self) -> list[Booted]:
        """Boots that decide states; those of this recording come first."""
        return [*(each for each in self.booted if not each.sample), *self.carried]

    def decided(self) -> dict[StateClass, Booted]:
        """Which boot decides which class: the first one that agrees."""
        self.refresh()
        if self._decided is None:
            self._decided = {}
            open_classes = list(self.classes)
            for each in self.deciders:
                if not open_classes:
                    break
                agree = self._agreeing(each, open_classes)
                for one, yes in zip(open_classes, agree, strict=True):
                    if yes:
                        self._decided[one] = each
                open_classes = [
                    one for one, yes in zip(open_classes, agree, strict=True) if not yes
                ]
        return self._decided

    def deciding(self) -> dict[Booted, list[StateKind]]:
        """Each boot with the kinds of states that it decides, in the order of the logs."""
        found: dict[Booted, list[StateKind]] = {}
        decided = self.decided()
        for group in self.groups:
            for one in group.classes:
                if one in decided:
                    found.setdefault(decided[one], []).extend(one.kinds)
        return {by: list(dict.fromkeys(kinds)) for by, kinds in found.items()}

    def undecided(self) -> list[StateClass]:
        """Classes of the recorded update that no boot decides yet; see `order`."""
        decided = self.decided()
        return in_turns([each for each in self.groups[0].classes if each not in decided])

    def second_cuts(self) -> list[StateClass]:
        """Of the second cuts that no boot decides, as few as show each aspect that no boot has had
        (`aspects`)."""
        self.decided()
        if self._second is None:
            self._second = list(aspects.second_cuts(self))
        return self._second

    def one_way(self) -> list[str]:
        """Booted states with an aspect from which no boot has come back after the probe."""
        self.refresh()
        return list(aspects.one_way(self))

    def comes_back(self, state: str, under_way: Iterable[str]) -> bool:
        """Whether a boot of a state is to come back after the probe: it shows an aspect that no
        boot has come back from, nor one of those under way that are to. In the factory's first boot
        each single cut is asked: whether an identity stays is the question there."""
        self.refresh()
        cut = parse(state)
        if len(cut) == 1 and self.recording.in_factory(cut[0].at):
            return True
        return aspects.is_new(self, self.like(state), [self.like(each) for each in under_way])

    def like(self, state: str) -> StateClass:
        """A class with that state's picture; it is not among `classes`."""
        base, slots = self._left(state)
        factory = self.recording.in_factory(parse(state)[0].at)
        return StateClass(self._picture_of(base), slots, factory)

    def copies(self, base: DiskContent) -> list[bytes]:
        """The bytes of both copies of the boot selection in a state."""
        return [
            b"".join(map(self._contents.data, base.numbers(first, count).tolist()))
            for first, count in self._copies
        ]

    def left(self, state: str) -> DiskContent:
        """What power cuts leave of the disk."""
        return self._left(state)[0]

    def selection(self, picture: Picture) -> str:
        """What each copy of the boot selection says, and which one counts; without how often it has
        been written."""
        tracked, said = self.landscape.tracked, []
        for first, count in self._copies:
            ids = self.base.numbers(first, count)
            here = (tracked >= first) & (tracked < first + count)
            ids[tracked[here] - first] = picture.ids[here]
            content = b"".join(map(self._contents.data, ids.tolist()))
            said.append(self._format.parse(content, self._attempts))
        counting = self._format.counting((said[0], said[1]))
        which = counting and said.index(counting)
        return repr([which, *(each and replace(each, generation=0) for each in said)])

    def _whole(self, copy: bytes) -> bool:
        return self._format.variables(copy) is not None

    # What becomes known

    def add(self, proof: Proof, *, sample: bool) -> Booted:
        """One more boot."""
        land = self.landscape
        base, slots = self._left(proof.state)
        reads = self.dependence(proof, base)
        for images, filled in zip(land.slots.values(), slots, strict=True):
            # Whoever agrees in what fills a slot agrees in every sector of it.
            size = len(images.versions.get(filled, ()))
            reads[images.first : images.first + size] = False
        each = Booted(
            proof=proof,
            read_bits=np.packbits(reads),
            slots=slots,
            sample=sample,
            base=base,
        )
        self._stale |= land.news(reads)
        self._stale |= land.grown()
        self.booted.append(each)
        if not self._stale:
            each.picture = self._picture_of(each.base)
            self._forget()
        return each

    def fits(self, proof: Proof) -> bool:
        """Whether a proof is of a state with the cache that is explored."""
        return all(cut.loss.window == self.window for cut in parse(proof.state))

    def dependence(self, proof: Proof, base: DiskContent) -> Mask:
        """The sectors that a boot of `base` depends on: what it read, and what recovery wrote."""
        land = self.landscape
        reads = _mask(proof.reads, land.sectors)
        for first, count in self._copies:
            reads[first : first + count] = True
        judged = _mask(proof.reads_judged, land.sectors)
        for name in land.slots:
            if proof.slot and name != proof.slot:
                # What the probe's client reads of what it overwrites, it reads to leave out writes
                # that would change nothing (Mender's BlockFrugalWriter).
                first = self.recording.layout[f"slot-{name}"].offset // SECTOR
                probe = slice(first, first - -self.recording.probe_slot.size // SECTOR)
                reads[probe] = judged[probe]
        return reads | land.recovered(base)

    def carry(self, found: Callable[[], list[Booted]]) -> None:
        """Let boots of other recordings decide states, too: those of `found` that decide any. The
        others leave no trace. Before any boot of this recording is added, so that always the same
        ones are taken."""
        before = self.landscape.marks()
        self._take(found())
        deciding = set(self.decided().values())
        self.landscape.back_to(before)
        self._take([each for each in self.carried if each in deciding])

    def _take(self, found: list[Booted]) -> None:
        self.carried = found
        for each in found:
            self.landscape.recovered(each.base)
            self.landscape.news(each.reads)
        self._stale = True

    def nest(self) -> bool:
        """Add the cut points of every boot that followed a single cut; whether any are new."""
        known = {group.prefix for group in self.groups}
        for each in self.booted:
            prefix = f"{each.proof.state}>"
            if not (each.nested or each.sample or prefix in known):
                self._add_group(prefix)
        new = len(self.groups) > len(known)
        self._stale |= new
        # In the order of the proofs on disk, whichever boot has come back first.
        names = {f"{each.proof.state}>": each.proof.folder.name for each in self.booted}
        self.groups[1:] = sorted(self.groups[1:], key=lambda group: names[group.prefix])
        return new

    def _add_group(self, prefix: str) -> None:
        before, stretches = prefix.removesuffix(">"), self.recording.stretches
        if before:
            factory = self.recording.in_factory(parse(before)[0].at)
            stretches = (replace(EVERYWHERE, factory=factory),)
        walk = Enumeration(
            self.landscape, self._written(before), stretches, seed=self.seed, tears=self._tears
        )
        self.groups.append(Group(walk, prefix))

    def put_in_order(self) -> None:
        """As if all boots had been read back from disk: what follows from them must not depend on
        which of two workers was faster."""
        self.refresh()
        self.booted.sort(key=lambda each: (each.proof.state.count(">"), each.proof.folder.name))
        self._forget()

    def _left(self, state: str) -> tuple[DiskContent, tuple[str, ...]]:
        """What power cuts leave, and what fills the slots then."""
        *before, last = parse(state)
        base = self._written(printed(before)).left(last)
        return base, tuple(each.named(each.wrong(base)) for each in self.landscape.slots.values())

    def _written(self, state: str) -> Writes:
        """The log of the boot that followed a state; of none, the recording's."""
        if state not in self._writes:
            each = next((each for each in self.booted if each.proof.state == state), None)
            if each is None:
                raise ConfigurationError(
                    f"{self.recording.folder}: no boot of {state} is known, so nothing follows it"
                )
            log = each.proof.folder / "log.bin"
            self._writes[state] = Writes(
                self._contents, each.base, log, self._model, window=self.window
            )
        return self._writes[state]

    def samples(self) -> list[tuple[Booted, Booted]]:
        """Each boot of the sample with the boot that decides its state. One that nothing decides
        any more, because boots after it have read more, shows nothing."""
        self.refresh()
        pairs = ((each, self._decider(self._looks(each))) for each in self.booted if each.sample)
        return [(each, by) for each, by in pairs if by is not None]

    def checks(self) -> Iterator[tuple[Booted, Booted]]:
        """Each boot, of the sample or not, with each other one that decides its state as well: they
        must have ended alike. A boot that was late, or made by hand, is a check like any other."""
        self.refresh()
        for each in self.booted:
            one = self._looks(each)
            for by in self.deciders:
                if by is not each and self._agreeing(by, [one])[0]:
                    yield each, by

    def decider(self, state: str) -> Booted | None:
        """The boot that decides any state, if one does."""
        self.refresh()
        return self._decider(self.like(state))

    def _decider(self, one: StateClass) -> Booted | None:
        return next((each for each in self.deciders if self._agreeing(each, [one])[0]), None)

    @staticmethod
    def digest(each: Booted) -> bytes:
        """Of the booted state as it lies on the medium; equal to that of its kind."""
        assert each.picture is not None  # noqa: S101 - refreshed
        return each.picture.digest

    def rule(self, like: StateKind | Booted, by: Booted) -> str:
        """How a boot decides what looks like that: by its read set alone, or after recovery; or as
        one of another recording."""
        if by.carried:
            return "carried"
        picture, its = by.picture, like.picture
        assert picture and its  # noqa: S101 - refreshed
        mask = by.reads[self.landscape.tracked]
        same = np.array_equal(its.ids[mask], picture.ids[mask])
        return "read-set" if same else "recovery"

    def equal(self, state: str, like: StateKind | Booted, by: Booted) -> bool:
        """Whether a state of the recording's own log is the one that was booted, by content."""
        picture, its = by.picture, like.picture
        assert picture and its  # noqa: S101 - refreshed
        if ">" in state or by.nested or by.carried or picture.digest != its.digest:
            return False
        sectors = self.main.writes.sectors
        return bool(np.array_equal(self._left(state)[0].at(sectors), by.base.at(sectors)))

    # Comparing

    def _agreeing(self, each: Booted, classes: Sequence[StateClass]) -> list[bool]:
        picture = each.picture
        assert picture is not None  # noqa: S101 - refreshed
        mask = each.reads[self.landscape.seen]
        wanted = picture.seen[mask]
        return [
            one.slots == each.slots
            and one.factory == each.proof.factory
            and one.picture.odd == picture.odd
            and bool(np.array_equal(one.picture.seen[mask], wanted))
            # What readers have told apart, nothing from elsewhere decides.
            and not (each.carried and self.landscape.is_apart(one.picture))
            for one in classes
        ]

    def _looks(self, each: Booted) -> StateClass:
        return StateClass(self._picture_of(each.base), each.slots, each.proof.factory)

    def _picture_of(self, base: DiskContent) -> Picture:
        land = self.landscape
        return land.picture(land.keep(base.at(land.tracked)), base)


def _mask(runs: Runs, sectors: int) -> Mask:
    found = np.zeros(sectors, np.bool_)
    for sector, count in runs:
        found[sector : sector + count] = True
    return found


def sources(recording: Recording, state: str, proofs: Iterable[Proof]) -> Sources:
    """Where each sector of a crash state comes from.

    A nested state needs the proof of the state before it: its boot's log. KeyError without it.
    """
    first, *more = parse(state)
    found = Sources(recording.base.stat().st_size, recording.base)
    cut_off(found, recording.log, Model(recording.model), first)
    prefix = str(first)
    for cut in more:
        log = next(p.folder / "log.bin" for p in proofs if p.state == prefix)
        cut_off(found, log, Model(recording.model), cut)
        prefix = f"{prefix}>{cut}"
    return found


def _slot(contents: Contents, recording: Recording, slot: str) -> SlotImages:
    def numbers(release: Release) -> Ids:
        path = release.folder / "slot.img"
        data = path.read_bytes()
        padded = data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
        return contents.ids(padded, path, 0)

    offset, _ = recording.layout[f"slot-{slot}"]
    known = {"old": recording.old, "new": recording.new, "bad": recording.bad}
    versions = {name: numbers(release) for name, release in known.items() if release}
    found = SlotImages(first=offset // SECTOR, versions=versions)
    contents.remember(recording.base, offset, contents.of(recording.base, offset, found.size))
    return found
