"""Where the root file system of a device that is up lies: its kernel's word, whoever answers for
the product.

A device that is driven from outside says which version and which slot run by commands that may read
what was planned (a database of the client, a variable of the bootloader), and not what is. The
kernel knows what it has mounted (proc(5), mountinfo) and where that partition begins, in sectors of
512 bytes (sysfs, `start`); of what device mapper makes of partitions (verity) those below it count.
"""

from collections.abc import Mapping

from harness.boards.board import Board
from harness.clients.boot_selection import Slot
from harness.judge.verdict import Invariant, NotChecked
from harness.product.layout import SECTOR, Region

NAME = "runs-from-slot"
_UNKNOWN = "nobody can say in which slot its root file system lies"


def command(top: str = "") -> str:
    """Prints where the root file system's partitions begin, a line each; nothing, or an exit code,
    of one that is on none."""
    mounts, devices = f"{top}/proc/self/mountinfo", f"{top}/sys/dev/block"
    return (
        'while read -r _ _ device _ point _; do [ "$point" != / ] || found=$device; done '
        f'<{mounts}; cd {devices}/"$found" && {{ cat start || cat slaves/*/start; }} 2>/dev/null'
    )


def agrees(
    board: Board, slot: Slot, layout: Mapping[str, Region], *, timeout: float
) -> Invariant | NotChecked:
    """Whether a device that says that it runs from `slot` does. Broken only where the root file
    system lies in the other one; DeviceError when it cannot be reached."""
    said = board.run(command(), timeout=timeout)
    starts = {int(each) * SECTOR for each in said.stdout.split() if each.isdecimal()}
    lies_in = [each for each in Slot if layout[each.region].offset in starts]
    if said.returncode or len(lies_in) != 1:
        return NotChecked(name=NAME, why=_UNKNOWN)
    return Invariant.of(NAME, lies_in == [slot], f"says {slot}, its root is in slot {lies_in[0]}")
