"""What is looked at once in each boot, at the first word over SSH: is the bench still what it was?

The console is heard whole (a second reader of a serial port takes bytes away, and nobody notices);
the card takes writes and had no I/O error; and who says of itself that it is a virtual machine is
no real board.
"""

import contextlib
import re
import secrets
from collections.abc import Callable

from harness.boards.console import Console
from harness.boards.lab_file import BoardOptions
from harness.boards.ssh import SshLink
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.log import emit

CONSOLE_DEVICE = "/dev/console"  # by what a device writes there, unless the lab file says otherwise
_LINES = 20
_HEARD = 5.0  # seconds for the lines to come, behind what the kernel says
_REACH = 15.0  # seconds for a board that is up
# Of a card: `ro` says that it takes no writes any more (a worn one ends so).
_LOOK = r"""
for disk in /sys/block/mmcblk? /sys/block/sd? /sys/block/vd?; do
    [ -e "$disk/ro" ] || continue
    echo "disk ${disk##*/} $(cat "$disk/ro") $(cat "$disk/device/cid" 2>/dev/null)"
done
echo "virt $(systemd-detect-virt 2>/dev/null || true)"
# Of the controllers that have a card: an SDIO device's troubles (a Pi's WiFi) are not the card's.
cards=$(for at in /sys/block/mmcblk?/device; do basename "$(readlink -f "$at")"; done 2>/dev/null |
    sed -n 's/^\(mmc[0-9]*\):.*/\1/p' | sort -u | paste -sd'|')
errors="I/O error, dev|blk_update_request: .*error|(${cards:-no card}): .*error"
dmesg 2>/dev/null | grep -E "$errors" | tail -n 3
true"""


class AfterBoot:
    """The looks at one board. `reached`: whether it has ever answered since it was flashed."""

    def __init__(self, board: str, options: BoardOptions, ssh: SshLink, console: Console) -> None:
        self.reached = False
        self._board = board
        self._virtual = options.get("virtual", False)
        self._device = options.get("console_device", CONSOLE_DEVICE)
        self._ssh = ssh
        self._console = console
        self._boot = 0  # that was looked at last
        self._cut = False

    def begin(self) -> None:
        """The board has been flashed."""
        self.reached, self._boot, self._cut = False, 0, False

    def was_cut(self) -> None:
        """The next look is one after a power cut."""
        self._cut = True

    def look(self, boot: int, *, timeout: float) -> None:
        """The look at a boot, once; LabError for what is wrong with the bench, DeviceError when the
        board does not answer."""
        if boot == self._boot:
            return
        self._ssh.run("true", timeout=timeout)
        self.reached, self._boot = True, boot
        self._hear()
        self._see()

    def check(self, answers_itself: Callable[[], bool]) -> None:
        """The same again of a board that did not do what it should. LabError, too, when it has
        never answered over the network, and answers itself."""
        try:
            self._ssh.run("true", timeout=_REACH)
        except DeviceError as error:
            if not self.reached and answers_itself():
                raise LabError(
                    f"{self._board}: its SSH server answers on the board, and not over the network",
                    details=str(error),
                    hint="the cable, its address (DHCP), or the NetworkService of the lab file",
                ) from error
            return
        self._hear()
        self._see()

    def _hear(self) -> None:
        """What is written to the console on the board must arrive whole."""
        if not self._device:
            return
        word = f"harness-{secrets.token_hex(8)}"
        lines = [f"{word}-{number:02}-abcdefghijklmnopqrstuvwxyz" for number in range(_LINES)]
        said = "".join(f"{line}\\r\\n" for line in lines)
        with contextlib.suppress(DeviceError):
            if self._ssh.run(f"printf '{said}' >{self._device}", timeout=_REACH).returncode:
                return  # it has no such device: nothing was said
        deadline = Deadline(_HEARD)
        while missing := [line for line in lines if line not in self._text()]:
            if deadline.over:
                raise LabError(
                    f"{self._board}: {len(missing)} of {_LINES} lines did not come whole over its "
                    "serial console",
                    hint="does a second program read the port (a stray ser2net, a terminal)? "
                    "options.console_device says by what the device writes to it",
                )
            self._console.wait(0.1)

    def _text(self) -> str:
        """What the running boot has said, and the one before: a board can reset itself here."""
        logs = self._console.logs[-2:]
        return "".join(log.read_text(errors="replace") for log in logs)

    def _see(self) -> None:
        found = self._ssh.run(_LOOK, timeout=_REACH).stdout.splitlines()
        disks = [line.split()[1:] for line in found if line.startswith("disk ")]
        errors = [line for line in found if re.search(r"error", line)]
        emit("card", board=self._board, disks=disks, errors=errors, after_cut=self._cut)
        self._cut = False
        read_only = [words[0] for words in disks if words[1:2] == ["1"]]
        if read_only or errors:
            why = f"{read_only[0]} takes no writes" if read_only else errors[-1]
            raise LabError(f"{self._board}: its card is worn or broken: {why}", hint="replace it")
        virt = next((line.split()[1:] for line in found if line.startswith("virt ")), [])
        if virt and virt != ["none"] and not self._virtual:
            raise LabError(
                f"{self._board} says that it runs in {virt[0]}, the lab file that it is real",
                hint="options.virtual: true",
            )
