"""What recovering an ext4 file system's journal will do: the transactions that count.

Most writes of an update that differ from one cut point to the next go into the journal, and most of
those are never looked at again: of a transaction without its commit block nothing is used. So two
crash states are alike when recovery makes the same of them. This reads a journal as jbd2 does
(Linux fs/jbd2/recovery.c, which e2fsck shares; https://docs.kernel.org/filesystems/ext4/journal.html):
checksums, escaped blocks and revoked blocks included. Whatever it does not know (fast commits,
other checksums, a block that does not match its checksum in a transaction that counts) makes the
journal `unknown`: then its raw content counts, and nothing is taken for equal.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.crash.disk.ext4 import checksum
from harness.crash.states.contents import SECTOR, Contents

_MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_CSUM_V3, _64BIT, _REVOKES = 0x10, 0x2, 0x1
_KNOWN = _CSUM_V3 | _64BIT | _REVOKES
_CRC32C = 4  # s_checksum_type
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8

Block = tuple[int, ...]  # the contents' numbers of a block's sectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """File system block -> what recovery writes there. `unknown`: say nothing about this one.
    `torn`: it ends at a commit block that is not whole, which jbd2 and e2fsck take for damage:
    the transactions before it are replayed, but then the file system is not simply mounted."""

    blocks: dict[int, Block] = field(default_factory=dict)
    unknown: bool = False
    torn: bool = False


class Journal:
    """The journal of one file system: `read(n)` gives the sectors of its block n."""

    def __init__(self, contents: Contents, *, block_size: int, length: int) -> None:
        self._contents = contents
        self._block_size = block_size
        self._length = length  # in blocks
        self._bytes: dict[Block, bytes] = {}
        self._tags: dict[tuple[Block, int, int], list[tuple[int, int, int]]] = {}
        self._commits: dict[tuple[Block, int, int], bool] = {}
        self._escaped: dict[Block, Block] = {}

    def recovery(self, read: Callable[[int], Block], *, needed: bool = True) -> Recovery:
        """What a mount or e2fsck will make of it; `needed`: the superblock asks for recovery."""
        head = self._data(read(0))
        magic, kind = struct.unpack_from(">II", head)
        first, sequence, start = struct.unpack_from(">III", head, 0x14)
        if magic != _MAGIC or kind not in (3, 4) or head[0x20:0x24] != bytes(4):  # s_errno
            return Recovery(unknown=True)
        features = struct.unpack_from(">I", head, 0x28)[0]
        if not self._accepted(head, features):  # of an empty one, too: it is not loaded
            return Recovery(unknown=True)
        if start == 0:
            return Recovery()
        # A journal with transactions that the superblock knows nothing of is wiped by the kernel;
        # without checksums nothing says what is whole.
        if not (needed and features & _CSUM_V3):
            return Recovery(unknown=True)
        seed = checksum(head[0x30:0x40])
        if not 0 < first <= start < self._length:
            return Recovery(unknown=True)
        scan = _Scan(self, read, seed, wide=bool(features & _64BIT), first=first)
        return scan.run(start, sequence)

    def _accepted(self, head: bytes, features: int) -> bool:
        """Whether a journal's superblock (1024 bytes) is whole and asks for nothing unknown."""
        size, length = struct.unpack_from(">II", head, 0x0C)
        compatible, read_only = head[0x24:0x28], head[0x2C:0x30]
        stored = struct.unpack_from(">I", head, 0xFC)[0]
        return (
            not features & ~_KNOWN
            and (size, length) == (self._block_size, self._length)
            and compatible == read_only == bytes(4)
            and (
                not features & _CSUM_V3  # as mkfs makes it
                or (
                    head[0x50] == _CRC32C
                    and bool(stored == checksum(head[:0xFC] + bytes(4) + head[0x100:1024]))
                )
            )
        )

    def _data(self, block: Block) -> bytes:
        found = self._bytes.get(block)
        if found is None:
            found = self._bytes[block] = b"".join(map(self._contents.data, block))
        return found

    def header(self, block: Block) -> tuple[int, int, int]:
        """Magic, type, sequence."""
        magic, kind, sequence = struct.unpack_from(">III", self._contents.data(block[0]))
        return magic, kind, sequence

    def whole(self, block: Block, seed: int) -> bool:
        """Whether a descriptor or a revocation matches its checksum."""
        return _tail_right(self._data(block), seed)

    def tags(self, block: Block, seed: int, *, wide: bool) -> list[tuple[int, int, int]]:
        """(file system block, flags, checksum) of a descriptor, whole or not."""
        key = (block, seed, wide)
        if key not in self._tags:
            self._tags[key] = self._parse_tags(self._data(block), wide=wide)
        return self._tags[key]

    def _parse_tags(self, data: bytes, *, wide: bool) -> list[tuple[int, int, int]]:
        found, at = [], 12
        while at + 16 <= self._block_size - 4:
            low, flags, high, checksum = struct.unpack_from(">IIII", data, at)
            found.append((low + (high << 32 if wide else 0), flags, checksum))
            at += 16 if flags & _SAME_UUID else 32
            if flags & _LAST:
                break
        return found

    def revoked(self, block: Block, *, wide: bool) -> list[int] | None:
        """The blocks of a revocation, None when it says that it is longer than it is."""
        data = self._data(block)
        end = struct.unpack_from(">I", data, 12)[0]
        if end > self._block_size - 4:
            return None
        size, form = (8, ">Q") if wide else (4, ">I")
        return [struct.unpack_from(form, data, at)[0] for at in range(16, end - size + 1, size)]

    def commit_right(self, block: Block, seed: int) -> bool:
        """Whether a commit block is whole."""
        data = self._data(block)
        stored = struct.unpack_from(">I", data, 16)[0]
        return bool(stored == checksum(data[:16] + bytes(4) + data[20:], seed))

    def commit_time(self, block: Block) -> int:
        """Seconds in a commit block, whole or not."""
        return int(struct.unpack_from(">Q", self._data(block), 0x30)[0])

    def data_right(self, block: Block, sequence: int, seed: int, promised: int) -> bool:
        """Whether a journalled block is what its tag promises."""
        return checksum(self._data(block), checksum(struct.pack(">I", sequence), seed)) == promised

    def unescaped(self, block: Block) -> Block:
        """A journalled block whose first word was taken out because it looks like a header."""
        if block not in self._escaped:
            data = struct.pack(">I", _MAGIC) + self._data(block)[4:SECTOR]
            first = int(self._contents.ids(data)[0])
            self._escaped[block] = (first, *block[1:])
        return self._escaped[block]

    @property
    def length(self) -> int:
        """In blocks."""
        return self._length


class _Scan:
    """One pass over a journal that needs recovery."""

    def __init__(
        self, journal: Journal, read: Callable[[int], Block], seed: int, *, wide: bool, first: int
    ) -> None:
        self._journal, self._read, self._seed = journal, read, seed
        self._wide, self._first = wide, first
        self._found: list[tuple[int, int, Block]] = []  # sequence, file system block, content
        self._revoked: dict[int, int] = {}  # file system block -> newest sequence

    def run(self, start: int, sequence: int) -> Recovery:
        at, known, suspect, torn, last = start, True, False, False, 0
        pending: list[tuple[int, int, int, Block]] = []
        revokes: list[int] = []
        for _ in range(self._journal.length):
            block = self._read(at)
            magic, kind, number = self._journal.header(block)
            if magic != _MAGIC or number != sequence:
                break
            at = self._next(at, 1)
            if kind in (_DESCRIPTOR, _REVOKE):
                # Damage only if the transaction was committed all the same.
                suspect = suspect or not self._journal.whole(block, self._seed)
            if kind == _DESCRIPTOR:
                tags = self._journal.tags(block, self._seed, wide=self._wide)
                for target, flags, checksum in tags:
                    pending.append((target, flags, checksum, self._read(at)))
                    at = self._next(at, 1)
            elif kind == _REVOKE:
                found = self._journal.revoked(block, wide=self._wide)
                suspect = suspect or found is None
                revokes += found or []
            elif kind == _COMMIT:
                time = self._journal.commit_time(block)
                if not self._journal.commit_right(block, self._seed):
                    if suspect:  # jbd2 ends the whole recovery with an error
                        return Recovery(unknown=True)
                    torn = time >= last  # an older one is taken for one that was left there
                    break
                last = time
                known = known and not suspect and self._commit(sequence, pending, revokes)
                pending, revokes, sequence = [], [], (sequence + 1) & 0xFFFFFFFF
            else:
                break
        return self._result(torn=torn) if known else Recovery(unknown=True)

    def _commit(
        self, sequence: int, pending: Sequence[tuple[int, int, int, Block]], revokes: Sequence[int]
    ) -> bool:
        for target, flags, promised, block in pending:
            if not self._journal.data_right(block, sequence, self._seed, promised):
                return False
            whole = self._journal.unescaped(block) if flags & _ESCAPED else block
            self._found.append((sequence, target, whole))
        self._revoked.update(dict.fromkeys(revokes, sequence))
        return True

    def _result(self, *, torn: bool) -> Recovery:
        blocks: dict[int, Block] = {}
        for sequence, target, block in self._found:
            if self._revoked.get(target, -1) < sequence:
                blocks[target] = block
        return Recovery(blocks=blocks, torn=torn)

    def _next(self, at: int, count: int) -> int:
        at += count
        return at if at < self._journal.length else at - self._journal.length + self._first


def _tail_right(data: bytes, seed: int) -> bool:
    """Descriptor and revocation blocks end in a checksum of themselves."""
    stored = struct.unpack_from(">I", data, len(data) - 4)[0]
    return bool(stored == checksum(data[:-4] + bytes(4), seed))
