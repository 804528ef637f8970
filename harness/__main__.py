"""`harness`, and `python -m harness`, for processes that the harness starts of itself.

Loading the command line takes a part of a second, in which it can be interrupted as well: nothing
has been begun then, and it ends with the code that it would end with later.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 130  # exit code


def main() -> None:
    """Load the command line, and run it."""
    before = {name: signal.signal(name, _leave) for name in (signal.SIGINT, signal.SIGTERM)}
    from harness.cli import main as run  # noqa: PLC0415 - it is what takes time

    for name, handler in before.items():
        signal.signal(name, handler)
    run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
