"""Proofs that carry over: boots of another recording decide states of this one, where they hold.

A new release is mostly the old one: what a boot of another update has read is often the same here,
byte for byte. A proof of another recording holds for a state of this one that agrees in all that
its boots have read, by content, whoever wrote it there:

- what some log here writes is compared state by state, as with boots of this recording;
- what none writes must be the same in the image that was flashed;
- of a slot that a known version fills, each sector that was read must be the same in *this*
  recording's version of that name; if one is not, the proof holds for no state.

And the same was asked: of the same device (`_differences`), by the same harness (`questions`). A
boot that ended badly is never carried: a failure is seen in this recording, or not at all.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import ConfigDict

from harness import files
from harness.crash.exploration import summary
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.counting import counting
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import Proof, proofs
from harness.crash.recording import digests
from harness.crash.recording.recording import PROBE, Recording
from harness.crash.recording.schema import STRICT, Sha256, file_bytes, parsed
from harness.crash.results import results
from harness.errors import ConfigurationError
from harness.log import step
from harness.product.profile import ContentCheck

FILE = "carried.json"
_CHUNK = 1 << 24
_HINT = "delete it, and name the recordings again with --proofs-of"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSource:
    """A recording that proofs were taken from."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    folder: Path
    id: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class _CarriedFile:
    """carried.json."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    recordings: tuple[ProofSource, ...]


def taken(folder: Path) -> tuple[ProofSource, ...]:
    """Where the recording in `folder` has proofs from; ConfigurationError for a damaged list."""
    file = folder / FILE
    if not os.path.lexists(file):  # a link that leads nowhere is damage, too
        return ()
    return parsed(_CarriedFile, file_bytes(file, hint=_HINT), file, hint=_HINT).recordings


def sources(folder: Path) -> list[ProofSource]:
    """A recording, and those that it has taken proofs from."""
    return [
        ProofSource(folder=folder.resolve(), id=Recording.load(folder).id),
        *taken(folder),
    ]


def take(recording: Recording, others: Iterable[Path]) -> None:
    """From now on, proofs of these recordings decide states of this one where they hold; and of
    those that they have taken proofs from. ConfigurationError, and nothing is taken, when one is
    not explored, or its boots were not asked the same of the same device."""
    if recording.old.product.slots.content is not ContentCheck.EXACT:
        raise ConfigurationError(
            f"{recording.folder}: slots of {recording.machine} are mounted for writing",
            hint="proofs of other recordings are for slots that hold what was installed",
        )
    known = {each.id: each for each in taken(recording.folder)}
    for folder in others:
        own, *more = sources(folder)
        if own.id == recording.id:
            raise ConfigurationError(
                f"{folder}: is the recording itself", hint="its own proofs are always used"
            )
        for each in (own, *more):
            known.setdefault(each.id, each)
    known.pop(recording.id, None)
    for source in known.values():
        _recording(recording, source)
    content = asdict(_CarriedFile(recordings=tuple(known.values())))
    text = json.dumps(content, default=str) + "\n"
    files.write_whole(recording.folder / FILE, text.encode())


def carry(exploration: Exploration) -> None:
    """Add what holds of the proofs that the recording has taken; before any boot of its own is.
    ConfigurationError when a recording that they are of, or a proof, is not what it was."""
    if known := taken(exploration.recording.folder):
        carry_from(exploration, known)


def carry_from(exploration: Exploration, known: Sequence[ProofSource]) -> None:
    """Add what holds of the proofs of these."""
    with step("carry", recordings=[str(each.folder) for each in known]):
        exploration.carry(lambda: [one for each in known for one in _holding(exploration, each)])


def _recording(recording: Recording, source: ProofSource) -> Recording:
    """The recording that proofs are taken from, hashed, and explored."""
    other = Recording.load(source.folder)
    if other.id == recording.id:
        raise ConfigurationError(
            f"{source.folder}: is the recording itself", hint=f"{recording.folder / FILE}: {_HINT}"
        )
    if other.id != source.id:
        told = f"is the recording {other.id:.12} by now, not {source.id:.12}"
        raise ConfigurationError(f"{source.folder}: {told}", hint=f"{recording.folder / FILE}")
    if problems := list(_differences(recording, other)):
        raise ConfigurationError.of(
            f"{source.folder}: no proof of it holds for {recording.folder}",
            problems,
            hint="harness crash record NEW --from OLD --like OTHER records the same device again",
        )
    other.verify()
    if results.load(other.folder).disagreements:
        raise _unsure(source)
    return other


def _unsure(source: ProofSource) -> ConfigurationError:
    return ConfigurationError(
        f"{source.folder}: states came out otherwise than others had decided them",
        hint="its boots depend on more than they have read: take no proofs of it",
    )


def _differences(one: Recording, other: Recording) -> Iterator[str]:
    """What a boot reads of the bench, or is asked, and what is the rule of comparing: in which of
    these two recordings differ."""
    pairs = {
        "machine": (one.machine, other.machine),
        "accelerator": (one.accelerator, other.accelerator),
        "board": (one.board.partition("@")[0], other.board.partition("@")[0]),
        "description of it in the lab file": (one.bench, other.bench),
        "model of the medium": (one.model, other.model),
        "sectors of the disk": (one.sectors, other.sectors),
        "layout": (dict(one.layout), dict(other.layout)),
        "product in the field": (one.old.product, other.old.product),
        "product that is installed": (one.new.product, other.new.product),
        "identity of the device": (one.identity, other.identity),
        "port of the update server": (one.server_port, other.server_port),
        "probe": (_probe(one), _probe(other)),
    }
    different = [name for name, (mine, its) in pairs.items() if mine != its]
    yield from (f"another {name}" for name in different)
    if not different and _data(one) != _data(other):
        yield "another data partition in the image that was flashed"


def _probe(recording: Recording) -> object:
    names = [path.name for path in recording.folder.glob(f"{PROBE}*")]
    return digests.of(recording.folder, names), recording.probe_slot


def _data(recording: Recording) -> bytes:
    """A digest of the data partition as it was flashed."""
    offset, length = recording.layout["data"]
    found = hashlib.sha256()
    with recording.base.open("rb") as image:
        image.seek(offset)
        for at in range(0, length, _CHUNK):
            found.update(image.read(min(_CHUNK, length - at)))
    return found.digest()


def _holding(exploration: Exploration, source: ProofSource) -> Iterator[Booted]:
    """The boots of another recording that may hold for states of this one."""
    recording = _recording(exploration.recording, source)
    other = Exploration(
        recording,
        seed=exploration.seed,
        window=exploration.window,
        contents=exploration.disk.contents,
    )
    for proof in counting(filter(other.fits, proofs(recording))):
        other.add(proof, sample=proof.sample)
    if any(summary.disagreements(other)):
        raise _unsure(source)  # its results may be older than its last boot
    for booted in other.booted:
        proof = booted.proof
        if booted.sample or proof.verdict.failed:
            continue
        if _named(exploration.recording, recording, proof) != proof.final:
            continue
        if found := held(exploration, booted):
            yield found


def _named(recording: Recording, other: Recording, proof: Proof) -> str:
    """What the judge would call here what ran there in the end, by what it says that it is."""
    ran = {"old": other.old, "new": other.new}[proof.final]
    for name, each in (("old", recording.old), ("new", recording.new)):
        if (each.version, each.variants) == (ran.version, ran.variants):
            return name
    return ""


def held(exploration: Exploration, booted: Booted) -> Booted | None:
    """A boot as one that decides states here; None where it has read what is in none of them."""
    content = booted.content
    reads = exploration.dependence(booted.proof, content)
    for images, filled in zip(exploration.disk.slots.values(), booted.slots, strict=True):
        if not filled:
            continue
        if filled not in images.versions:
            return None
        version = images.versions[filled]
        part = slice(images.first, images.first + len(version))
        read = np.flatnonzero(reads[part])
        if not np.array_equal(content.at(images.first + read), version[read]):
            return None
        reads[part] = False
    fixed = np.flatnonzero(reads & exploration.read_set.fixed(content))
    if not np.array_equal(content.at(fixed), exploration.disk.image.at(fixed)):
        return None
    return Booted(
        proof=booted.proof,
        read_bits=np.packbits(reads),
        late_bits=np.packbits(booted.late & reads),
        slots=booted.slots,
        content=content,
        carried=True,
    )
