"""What a bench may be to blame for: then a board that failed has no verdict."""

import hashlib
from dataclasses import asdict

from harness.boards.board import Board
from harness.boards.capability import Capability
from harness.errors import LabError
from harness.log import emit
from harness.product.release import Release

_NOTHING = 16  # bytes that a wire says by itself when the power comes
_BOOT = "boot"  # what of the boot partition is never written


def lab_trouble(board: Board, problem: str) -> LabError | None:
    """What to say instead of `problem` when the bench may be at fault: a medium that its host could
    not serve, a boot that got too little of its host, or of which nobody knows what it got."""
    try:
        board.check_lab()
        share = board.share()
    except LabError as error:
        return LabError(error.brief, details=f"{error.details}\n{problem}".strip(), hint=error.hint)
    emit("share", board=board.name, **asdict(share))
    if not share.starved:
        return None
    return LabError(
        f"{board.name}: the bench is too busy to tell: {share}",
        details=problem,
        hint="repeat it when less runs on this host, or with fewer boards at a time",
    )


def require_lab(board: Board, problem: str) -> None:
    """LabError when `problem` may be the bench's fault."""
    if trouble := lab_trouble(board, problem):
        raise trouble


def muteness(board: Board, flashed: Release, problem: str) -> LabError | None:
    """What to say instead of `problem` of a board that has said nothing at all in its last boot,
    though what boots first on its medium is byte for byte as it was flashed: its power, its wire or
    its card's contacts are the bench's. Only of one whose medium is read while it is off, as it is
    then; a bootloader that has been changed is the product's, and is no trouble."""
    can, logs = board.can, board.console_logs
    if Capability.MEDIUM_READ not in can or Capability.MEDIUM_READ_LIVE in can:
        return None
    if not logs or logs[-1].stat().st_size > _NOTHING or _BOOT not in flashed.layout:
        return None
    board.power_off()
    first = min(region.offset for region in flashed.layout.values())
    for offset, length in ((0, first), flashed.layout[_BOOT]):
        with flashed.disk_image.open("rb") as image:
            image.seek(offset)
            wanted = hashlib.sha256(image.read(length)).hexdigest()
        if length and can.medium_read.sha256(offset, length) != wanted:
            return None
    return LabError(
        f"{board.name} has said nothing at all in boot {board.boots}, and its bootloader is there",
        details=problem,
        hint="its power, its serial line, its card's contacts (harness doctor)",
    )
