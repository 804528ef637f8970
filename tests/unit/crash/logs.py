"""Random write logs of a small medium, made by the medium's own recorder, and all their losses."""

import random
from pathlib import Path

from harness.boards.medium import recorder
from harness.boards.medium.log import CHANGES, Kind, LogReader, Record
from harness.boards.medium.model import Model
from harness.boards.medium.recorder import Recorder
from harness.crash.state import Sources

SECTOR = 512
SECTORS = 48
SIZE = SECTORS * SECTOR


def base_image(folder: Path) -> Path:
    """Few different sectors, so that a write often changes nothing."""
    path = folder / "base.img"
    path.write_bytes(_data(random.Random(0), SECTORS))
    return path


def medium(folder: Path, base: Path, model: Model) -> Recorder:
    """A medium that `base` was flashed to."""
    folder.mkdir(exist_ok=True)
    recorder.flash(folder, base, model, "")
    return Recorder(folder, model)


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
                Kind[word.upper()],
                start * SECTOR,
                sectors * SECTOR,
                data=data,
                fua=chance.random() < 0.25,
                struck=struck and last,
            )


def losses(records: list[Record], model: Model) -> list[str]:
    """What docs/medium.md says that a cut after these records can do, in words of its own: the
    newest write is in doubt; of the others those without FUA that no flush followed (`disk`)."""
    since: list[Record] = []
    for record in records:
        if record.kind in (Kind.FLUSH, Kind.CUT):
            since = []
        elif record.kind in CHANGES:
            since = [record] if model is Model.SD else [*since, record]
    doubtful = [r for r in since if not r.fua or r is since[-1]]
    found = ["none", "all"]
    for record in doubtful:
        found += [f"only:{record.position}", f"without:{record.position}"]
        count = record.length // SECTOR
        found += [f"torn:{record.position}:{kept}" for kept in range(1, count)]
    return found


def records(log: Path) -> list[Record]:
    """All of a log."""
    with LogReader(log) as reader:
        return list(reader.records())


def content(sources: Sources) -> bytes:
    """All bytes of a state, by way of its runs."""
    pieces = []
    for _, count, path, offset in sources.runs(0, sources.size // SECTOR):
        data = bytes(count * SECTOR)
        if path:
            with path.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(len(data))
        pieces.append(data)
    return b"".join(pieces)


def _data(chance: random.Random, sectors: int) -> bytes:
    return b"".join(bytes([chance.randrange(5)]) * SECTOR for _ in range(sectors))
