"""The medium's definition in the plainest words that run: what a `Store` is compared with."""

import random
from dataclasses import dataclass
from pathlib import Path

from harness.boards.medium.model import Cut
from harness.boards.medium.store import Store

SECTORS = 96
SIZE = SECTORS * 512


@dataclass
class Change:
    position: int
    offset: int
    data: bytes
    promised: bool


class Reference:
    """Stable bytes, and the changes since, in order."""

    def __init__(self, content: bytes) -> None:
        self.stable = bytearray(content)
        self.changes: list[Change] = []
        self.position = 0

    def change(self, offset: int, data: bytes, *, promised: bool) -> None:
        self.changes.append(Change(self.position, offset, data, promised))
        self.position += 1

    def flush(self) -> None:
        self.position += 1
        self.stable = bytearray(self.view())
        self.changes.clear()

    def view(self) -> bytes:
        content = bytearray(self.stable)
        for change in self.changes:
            content[change.offset : change.offset + len(change.data)] = change.data
        return bytes(content)

    def unflushed(self) -> list[Change]:
        return [change for change in self.changes if not change.promised]

    def cut(self, cut: Cut) -> None:
        """The state after a cut that says what it kept and tore."""
        for change in self.changes:
            if not change.promised and change.position not in cut.kept:
                continue
            data = change.data
            if cut.torn and cut.torn[0] == change.position:
                data = data[: cut.torn[1] * 512]
            self.stable[change.offset : change.offset + len(data)] = data
        self.changes.clear()
        self.position += 1


def scramble(store: Store, reference: Reference, chance: random.Random, count: int) -> None:
    """Ask both for the same `count` random things."""
    era = store.attach()
    for _ in range(count):
        start = chance.randrange(SECTORS)
        sectors = chance.randint(1, min(16, SECTORS - start))
        offset, length = start * 512, sectors * 512
        fua = chance.random() < 0.1
        what = chance.choices(["write", "zero", "trim", "flush", "mark"], [12, 2, 2, 2, 1])[0]
        if what == "write":
            data = chance.randbytes(length)
            store.write(era, data, offset, fua=fua)
            reference.change(offset, data, promised=fua)
        elif what in ("zero", "trim"):
            (store.zero if what == "zero" else store.trim)(era, offset, length, fua=fua)
            reference.change(offset, bytes(length), promised=fua)
        elif what == "flush":
            store.flush(era)
            reference.flush()
        else:
            store.mark("here")
            reference.position += 1
    store.detach(era)


def content(folder: Path) -> bytes:
    return (folder / "content.img").read_bytes()
