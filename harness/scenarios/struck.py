"""What an aimed power cut has struck: looked up afterwards, on the medium of a board that is off.

In which phase the medium is, and of a slot that is being written, how far from its beginning on.
"""

import hashlib

from harness.clients.boot_selection import Slot, SlotState
from harness.faults.aim import StruckPhase
from harness.judge.judge import Judge
from harness.product.release import Release
from harness.scenarios.aimed import Shot

_PIECE = 256 << 10  # bytes to which it is told how much of a slot is written
_LARGE = 4 << 20  # bytes


def where_struck(judge: Judge, shot: Shot, new: Release) -> tuple[StruckPhase, dict[str, object]]:
    """Which phase the medium of a board that is off is in, and what it says."""
    medium, target = judge.medium, shot.target
    copies = medium.copies()
    told: dict[str, object] = {"copies": [str(copy or "torn") for copy in copies]}
    chosen = medium.format.counting(copies)
    if (
        None in copies
        or chosen is None
        or (len(copies) > 1 and not medium.format.redundant(copies))
    ):
        return StruckPhase.SWITCH, told
    choice = chosen.slots[target]
    if choice.state is SlotState.TRIAL or chosen.primary == target:
        if choice.state is SlotState.GOOD:
            return StruckPhase.COMMITTED, told
        tried = choice.left < judge.attempts
        return (StruckPhase.TRIED if tried else StruckPhase.SWITCHED), told
    written = _written(judge, target, new)
    told["written"] = f"{written / new.slot.size:.1%}"
    if written >= new.slot.size:  # not selected yet, or not any more
        return (StruckPhase.REJECTED if shot.boots else StruckPhase.BEFORE_SWITCH), told
    untouched = _is_as_flashed(judge, target)
    return (StruckPhase.BEFORE_WRITE if untouched else StruckPhase.WRITE), told


def _is_as_flashed(judge: Judge, target: Slot) -> bool:
    """Whether nothing of the slot was written: all of it is as in the image that was flashed. What
    has been written in pieces, or out of order, need not show at its beginning."""
    region = judge.flashed.layout[target.region]
    digest, left = hashlib.sha256(), region.length
    with judge.flashed.disk_image.open("rb") as image:
        image.seek(region.offset)
        while left and (piece := image.read(min(_LARGE, left))):
            digest.update(piece)
            left -= len(piece)
    found = judge.board.can.medium_read.sha256(region.offset, region.length)
    return not left and found == digest.hexdigest()


def _written(judge: Judge, target: Slot, new: Release) -> int:
    """How many bytes of the new slot image are there, from its beginning on."""
    region, medium = judge.flashed.layout[target.region], judge.board.can.medium_read
    prefixes, digest = [hashlib.sha256().hexdigest()], hashlib.sha256()
    with new.slot_image.open("rb") as image:
        while piece := image.read(_PIECE):
            digest.update(piece)
            prefixes.append(digest.hexdigest())
    size, low, high = new.slot.size, 0, len(prefixes) - 1
    while low < high:
        middle = (low + high + 1) // 2
        length = min(middle * _PIECE, size)
        if medium.sha256(region.offset, length) == prefixes[middle]:
            low = middle
        else:
            high = middle - 1
    return min(low * _PIECE, size)
