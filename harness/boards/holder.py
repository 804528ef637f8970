"""Holds a bench board's power: `python -m harness.boards.holder LAB BOARD`.

`harness power BOARD on` has to return while the board stays on, so somebody else has to own its
medium and its QEMU: this process. It ends with the board's power, on SIGTERM (`harness power
BOARD off`) or when the board switches itself off. Others reach the board through the files that
`harness.boards.qemu.driver` keeps in its run folder.
"""

import signal
import sys
from pathlib import Path

from harness import errors, files, schema
from harness.boards.bench import ERROR
from harness.boards.lab import open_board
from harness.boards.qemu.device import run_folder
from harness.errors import HarnessError

_ENDS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_LOOK = 1  # seconds between two looks at whether the board is still on


def hold(lab: Path, name: str) -> None:
    """Switch a board on and keep it on until a signal comes or it goes off by itself."""
    # Blocked from the start and in all threads: a signal waits until we ask for it, so that it
    # always leads to an orderly end, and to a medium that can be used again.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    with open_board(lab, name) as board:
        board.power_on()
        while board.is_on:
            if signal.sigtimedwait(_ENDS, _LOOK):
                break


if __name__ == "__main__":
    try:
        hold(Path(sys.argv[1]), sys.argv[2])
    except HarnessError as error:  # `harness power` ends with it
        told = schema.to_bytes(errors.to_data(error))
        files.write_whole(run_folder(sys.argv[2]) / ERROR, told)
