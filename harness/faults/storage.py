"""Storage faults as data: what the medium lost by itself, while nobody looked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFault:
    """The last `length` bytes of something on the medium are zeros; prints as `zero-tail:32768`.

    Reported from a fleet: 0.002 % of its devices had a U-Boot environment whose last 32 KiB were
    zero.
    """

    length: int

    def __str__(self) -> str:
        return f"zero-tail:{self.length}"

    @classmethod
    def parse(cls, text: str) -> "StorageFault":
        """Read the printed form back; raises ValueError."""
        kind, _, length = text.partition(":")
        if kind != "zero-tail" or int(length) <= 0:
            raise ValueError(f"{text!r} is not a storage fault: zero-tail:BYTES")
        return cls(length=int(length))

    def within(self, offset: int, length: int) -> tuple[int, int]:
        """Offset and length of what it zeroes in a range of the medium; all of a short one."""
        lost = min(self.length, length)
        return offset + length - lost, lost
