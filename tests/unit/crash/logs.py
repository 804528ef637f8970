"""Random write logs of a small medium, made by the medium's own recorder, and all their losses."""

import random
from pathlib import Path

from harness.boards.qemu.nbd import recorder
from harness.boards.qemu.nbd.recorder import Recorder
from harness.crash.equivalence import mixtures
from harness.crash.states.sources import Sources
from harness.medium.log import CHANGES, LogReader, LogRecord, RecordKind
from harness.medium.model import Model

SECTOR = 512
SECTORS = 48
SEED = 1
SIZE = SECTORS * SECTOR


def base_image(folder: Path) -> Path:
    """Few different sectors, so that a write often changes nothing."""
    path = folder / "base.img"
    path.write_bytes(_data(random.Random(0), SECTORS))
    return path


def medium(folder: Path, base: Path, model: Model, cache: int = 0) -> Recorder:
    """A medium that `base` was flashed to."""
    folder.mkdir(exist_ok=True)
    recorder.flash(folder, base, model, "")
    return Recorder(folder, model, cache=cache)


def scribble(to: Recorder, chance: random.Random, count: int, *, struck: bool = False) -> None:
    """Random requests; the last one is a change, and with `struck` it is never answered."""
    for number in range(count):
        last = number == count - 1
        words, weights = ["write", "zero", "trim", "flush", "mark"], [12, 2, 2, 2, 1]
        word = chance.choices(words[: 3 if last else 5], weights[: 3 if last else 5])[0]
        if word == "flush":
            to.flush()
        elif word == "mark":
            to.mark("here")
        else:
            start = chance.randrange(SECTORS)
            sectors = chance.randint(1, min(8, SECTORS - start))
            data = _data(chance, sectors) if word == "write" else b""
            to.change(
                RecordKind[word.upper()],
                start * SECTOR,
                sectors * SECTOR,
                data=data,
                fua=chance.random() < 0.25,
                struck=struck and last,
            )


def in_doubt(records: list[LogRecord], model: Model, window: int = 0) -> list[LogRecord]:
    """Which writes docs/medium.md says that a cut after these records can take, in words of its
    own: the newest one; of the others those without FUA that no flush followed (`disk`), or that
    are among the last `window` ones that a card has answered."""
    since: list[LogRecord] = []
    for record in records:
        if record.kind in (RecordKind.FLUSH, RecordKind.CUT):
            since = []
        elif record.kind in CHANGES:
            since = [*since, record][-window - 1 if model is Model.SD else 0 :]
    return [r for r in since if not r.fua or r is since[-1]]


def losses(records: list[LogRecord], model: Model, window: int = 0) -> list[str]:
    """Those of a cut after these records, by the table in docs/crash.md; each write torn at each
    of its sectors."""
    doubtful = in_doubt(records, model, window)
    at = [record.position for record in doubtful]
    found = ["none", "all"]
    for record in doubtful:
        found += [f"only:{record.position}", f"without:{record.position}"]
        parts = range(1, record.length // SECTOR)
        found += [f"torn:{record.position}:{kept}" for kept in parts]
        if len(at) > 1:
            found += [f"only:{record.position}:{kept}" for kept in parts]
    if len(at) > 3:
        found += [f"{way}:{p},{q}" for way in ("only", "without") for p in at for q in at if p < q]
    if len(at) > 5:
        seeds = mixtures.seeds(SEED, len(records))
        found += [f"{way}:{seed}" for way in ("some", "torn") for seed in seeds]
    return [f"{loss}~{window}" if window else loss for loss in found]


def records(log: Path) -> list[LogRecord]:
    """All of a log."""
    with LogReader(log) as reader:
        return list(reader.records())


def content(sources: Sources, first: int = 0, sectors: int = 0) -> bytes:
    """All bytes of a state, or of some of its sectors, by way of its runs."""
    pieces = []
    for _, count, path, offset in sources.runs(first, sectors or sources.size // SECTOR):
        data = bytes(count * SECTOR)
        if path:
            with path.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(len(data))
        pieces.append(data)
    return b"".join(pieces)


def _data(chance: random.Random, sectors: int) -> bytes:
    return b"".join(bytes([chance.randrange(5)]) * SECTOR for _ in range(sectors))
