"""One QEMU process: exactly one boot of a board.

A guest that resets itself does not go through QEMU's own reset: QEMU is told to stop instead
(`-action reboot=shutdown,shutdown=pause`), its process is killed and the next boot gets a new
one, on the same medium, which has kept its power and its volatile cache. So a console log and a
process are one boot each, exactly. (QEMU's own reset would not do: SeaBIOS answers a warm reset
with a second, hard one, which the guest never asked for.)

Not modelled: QEMU flushes the medium when it stops a machine, so writes that were not flushed
when the guest reset itself are stable afterwards. That is a legal outcome for a disk, not the
worst one. A power cut kills QEMU and flushes nothing.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.boards.qemu import usb_adapter
from harness.boards.qemu.accelerator import Accelerator
from harness.boards.qemu.qmp import Event, Monitor
from harness.boards.share import Clock, Share, given
from harness.deadline import Deadline
from harness.errors import LabError
from harness.process import kill_group, start

_EVENTS = ("SHUTDOWN", "GUEST_PANICKED", "WATCHDOG", "MIGRATION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a QEMU machine is made of: the part of the command line that a lab file gives."""

    program: str
    machine: str
    accelerator: Accelerator = Accelerator.TCG
    cpu: str = ""
    memory: str = "256M"
    interface: str = "ide"  # of the medium: QEMU's if=; none: `storage` says where it goes
    storage: str = ""  # QEMU device for the medium, with properties
    firmware: str = ""  # what runs before the first program: `raspi4` or nothing
    pflash: tuple[str, str] = ("", "")  # code and variables in flash chips: `pflash`
    uarts: int = 1  # serial ports; the console is the first
    nic: str = ""  # QEMU device, with properties; empty: no network
    nic_when: str = ""  # of a USB adapter: see `harness.boards.qemu.usb_adapter`
    ssh_port: int = 22  # on the board
    extra_args: tuple[str, ...] = field(default=())

    @property
    def can_be_saved(self) -> bool:
        """Whether QEMU can save the machine's state: it cannot save that of a USB network adapter,
        and (10.0, hcd-dwc2.c) does not survive unplugging one that is in use."""
        return not usb_adapter.is_usb(self.nic)


class Vm:
    """A QEMU process with its monitor; paused after `start`, running after `cont`."""

    def __init__(
        self,
        hardware: Hardware,
        *,
        medium: str,
        console: tuple[Path, Path],
        arguments: Sequence[str] = (),
    ) -> None:
        """`medium`: NBD address; `console`: the log that QEMU appends to, and the input FIFO;
        `arguments`: more of them, of this boot (what the machine's firmware would load)."""
        self._arguments = arguments
        self._hardware = hardware
        self._medium = medium
        self._log, self._fifo = console
        self._monitor = Monitor(events=_EVENTS)
        self._adapter: usb_adapter.Adapter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._since = Clock.now()
        self._got = Share()  # once it is killed
        self._killed = False
        self.ssh_port = 0  # on this host's loopback; 0: no network

    def start(self, messages: Path, *, incoming: bool = False) -> None:
        """Start QEMU, paused; `messages` gets what it prints. The calling thread must outlive it.

        With `incoming` it waits for `load_state`. LabError when QEMU does not come up.
        """
        fd = self._monitor.inherited_fd
        argv = [*self._command(), "-chardev", f"socket,id=qmp,fd={fd}"]
        argv += ["-mon", "chardev=qmp,mode=control", "-S"]
        argv += ["-incoming", "defer"] if incoming else []
        self._since = Clock.now()
        self._process = start(argv, log=messages, pass_fds=[fd])
        try:
            self._monitor.connect()
            if self._hardware.nic:
                self.ssh_port = self._forwarded_port()
        except LabError as error:
            self.kill()
            text = messages.read_text(errors="replace").splitlines()[-10:]
            raise LabError(
                f"{self._hardware.program} did not start", details="\n".join(text)
            ) from error

    def share(self) -> Share:
        """What the host gave this boot, so far or until it ended; nothing when QEMU ended by
        itself."""
        return self._got if self._killed or not self.pid else given(self.pid, self._since)

    @property
    def pid(self) -> int:
        """QEMU's process id; 0 before `start`."""
        return self._process.pid if self._process else 0

    def cont(self) -> None:
        """Let time run."""
        self._monitor.execute("cont")
        if usb_adapter.is_usb(self._hardware.nic) and self._adapter is None:
            hw = self._hardware
            self._adapter = usb_adapter.Adapter(self._monitor, hw.nic, hw.nic_when)
            self._adapter.watch()

    def stop(self) -> None:
        """Stop time."""
        self._monitor.execute("stop")

    def link(self, *, up: bool) -> None:
        """Plug or unplug the network cable; LabError when the board has no network."""
        self._monitor.execute("set_link", name="net0", up=up)

    def save_state(self, path: Path, *, timeout: float = 120) -> None:
        """Write RAM and devices of the stopped machine to a file."""
        self._monitor.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._monitor.execute("migrate", uri=f"file:{path.resolve()}")
        self._migrated("save the machine's state", timeout)

    def load_state(self, path: Path, *, timeout: float = 120) -> None:
        """Read RAM and devices back into a machine that was started with `incoming`."""
        self._monitor.execute("migrate-incoming", uri=f"file:{path.resolve()}")
        self._migrated("load the machine's state", timeout)

    def next_event(self) -> Event | None:
        """Wait for the next event; None when QEMU is gone."""
        return self._monitor.events.get()

    def kill(self) -> None:
        """Take the power away: SIGKILL, reaped. Safe to call twice and from any thread."""
        if self._process:
            self._got, self._killed = self.share(), True
            kill_group(self._process)
        self._monitor.close()
        if self._adapter:
            self._adapter.close()

    def _migrated(self, what: str, timeout: float) -> None:
        deadline = Deadline(timeout)
        while True:
            answer = self._monitor.execute("query-migrate")
            if answer.get("status") == "completed":
                return
            if answer.get("status") in ("failed", "cancelled"):
                raise LabError(f"QEMU could not {what}", details=str(answer.get("error-desc", "")))
            if deadline.over:
                raise LabError(f"QEMU did not {what} within {timeout:g} s")

    def _forwarded_port(self) -> int:
        """The port that QEMU chose for us: asking beforehand for a free one would be a race."""
        words: dict[str, Any] = {"command-line": "info usernet"}
        text = self._monitor.execute("human-monitor-command", **words)
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", text)
        if not found:
            raise LabError("QEMU forwards no port to the board's SSH", details=text)
        return int(found[1])

    def _command(self) -> list[str]:
        hw = self._hardware
        argv = [hw.program, "-nodefaults", "-display", "none", "-machine", hw.machine]
        if "-accel" not in hw.extra_args:  # they may refine it; QEMU takes the first
            argv += ["-accel", str(hw.accelerator)]
        argv += ["-cpu", hw.cpu] if hw.cpu else []
        argv += ["-m", hw.memory, "-action", "reboot=shutdown,shutdown=pause,panic=none"]
        log, fifo = (str(path.resolve()).replace(",", ",,") for path in (self._log, self._fifo))
        argv += ["-chardev", f"file,id=console,path={log},append=on,input-path={fifo}"]
        argv += ["-serial", "chardev:console"]
        for number in range(2, hw.uarts + 1):  # nobody types there: a log of its own
            argv += ["-serial", f"file:{log.removesuffix('.log')}.uart{number}"]
        # Writeback: a guest's flush, and nothing else, becomes a flush of the medium. NBD has no
        # host cache, and a lost connection is an error at once (reconnect-delay is 0).
        drive = f"if={hw.interface},format=raw,cache=writeback,detect-zeroes=off,discard=unmap"
        argv += ["-drive", f"{drive},id=medium,file={self._medium}"]
        argv += ["-device", f"{hw.storage},drive=medium"] if hw.storage else []
        if hw.nic:
            forward = f"hostfwd=tcp:127.0.0.1:0-:{hw.ssh_port}"
            argv += ["-netdev", f"user,id=net0,{forward}"]
            if not usb_adapter.is_usb(hw.nic):  # that one is plugged in later
                argv += ["-device", f"{hw.nic},netdev=net0,id={usb_adapter.ID}"]
        return [*argv, *hw.extra_args, *self._arguments]
