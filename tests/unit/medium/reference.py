"""The medium's definition in the plainest words that run: what a `Store` is compared with."""

import random
from dataclasses import dataclass
from pathlib import Path

from harness.boards.qemu.nbd.store import Store
from harness.medium.model import PowerCut

SECTORS = 96
SIZE = SECTORS * 512


@dataclass
class Change:
    position: int
    offset: int
    data: bytes
    promised: bool

    def sectors(self, length: int | None = None) -> set[int]:
        """Those that it writes, or that its first bytes do."""
        end = self.offset + (len(self.data) if length is None else length)
        return set(range(self.offset // 512, end // 512))


class Reference:
    """Stable bytes, and the changes since, in order."""

    def __init__(self, content: bytes) -> None:
        self.stable = bytearray(content)
        self.changes: list[Change] = []
        self.position = 0
        self.owned: set[int] = set()  # sectors whose stable content was written, not loaded

    def change(self, offset: int, data: bytes, *, promised: bool) -> None:
        self.changes.append(Change(self.position, offset, data, promised))
        self.position += 1

    def flush(self) -> None:
        self.position += 1
        self.stable = bytearray(self.view())
        self.owned = self.written()
        self.changes.clear()

    def written(self) -> set[int]:
        """Sectors whose content was written since it was loaded."""
        return self.owned.union(*(change.sectors() for change in self.changes))

    def view(self) -> bytes:
        content = bytearray(self.stable)
        for change in self.changes:
            content[change.offset : change.offset + len(change.data)] = change.data
        return bytes(content)

    def unflushed(self) -> list[Change]:
        return [change for change in self.changes if not change.promised]

    def cut(self, cut: PowerCut) -> None:
        """The state after a cut that says what it kept and tore."""
        for change in self.changes:
            if not change.promised and change.position not in cut.kept:
                continue
            data = change.data
            if cut.torn and cut.torn[0] == change.position:
                data = data[: cut.torn[1] * 512]
            self.stable[change.offset : change.offset + len(data)] = data
            self.owned |= change.sectors(len(data))
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
