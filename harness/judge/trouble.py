"""What a bench may be to blame for: then a board that failed has no verdict."""

from dataclasses import asdict

from harness.boards.board import Board
from harness.errors import LabError
from harness.log import emit


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
