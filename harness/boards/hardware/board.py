"""A board that labgrid's stock drivers drive: `harness.boards.board.Board` on a desk or in a rack.

What is aimed at exact writes, or kept and gone back to, a real board cannot do. Its medium can be
read and changed through an SD mux while it is off; without one it is only asked.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labgrid import Environment
from labgrid.util.expect import PtxExpect

from harness import files
from harness.boards import lab_file
from harness.boards.board import Addresses, Board, CommandResult
from harness.boards.capability import Capabilities, Parts
from harness.boards.console import Console
from harness.boards.flashed import PIN, begin_with
from harness.boards.hardware import kind, reach, target
from harness.boards.hardware.after_boot import CONSOLE_DEVICE, AfterBoot
from harness.boards.hardware.card import BOARD, HOST, Card, CardLook
from harness.boards.hardware.cuts import count_cut
from harness.boards.hardware.player import Player
from harness.boards.hardware.relay import Relay
from harness.boards.hardware.serial_line import SerialLine, SerialTap
from harness.boards.hardware.within import speaking
from harness.boards.lab_file import BoardOptions
from harness.boards.lock import BoardLock
from harness.boards.pulse import Pulse
from harness.boards.qemu.device import run_folder
from harness.boards.share import Share
from harness.boards.ssh import SshLink
from harness.deadline import Deadline
from harness.errors import ConfigurationError, DeviceError, HarnessError, IdentityChanged, LabError
from harness.log import emit, step

_POLL = 0.05  # seconds between two looks at how many boots there were
_OFF_ITSELF = b"reboot: Power down"  # the kernel's last word (kernel/reboot.c)
_PATIENCE, _QUIET = 10.0, 1.0  # where the lab file says nothing
_LOGIN = 30.0  # seconds on the console of a board that runs


@contextlib.contextmanager
def opened(
    environment: Environment, name: str, *, lab: Path, options: BoardOptions
) -> Iterator[Board]:
    """The board `name`, ours alone, off; given back at the end, and so is its place."""
    if not options.get("boot_banner"):
        raise ConfigurationError(
            f"{files.shown(lab)}: targets.{name}.options.boot_banner is missing",
            hint="a regular expression for what the bootloader prints once a boot",
        )
    lock = BoardLock(run_folder(name), name)
    lock.acquire()
    try:
        with target.bound(environment, name, lab=lab, options=options) as (bound, check):
            board = HardwareBoard(bound, lab=lab, options=options, check=check)
            try:
                board.open()
                yield board
            except BaseException:  # what comes after it matters less
                with contextlib.suppress(HarnessError):
                    board.close()
                raise
            board.close()
    finally:
        lock.release()


class HardwareBoard:
    """`harness.boards.board.Board` on a labgrid target of stock drivers, of the lab file `lab`.
    `check` raises LabError when its place is not ours any more."""

    def __init__(
        self, bound: Any, *, lab: Path, options: BoardOptions, check: Callable[[], None]
    ) -> None:
        self._lab = lab
        self.name: str = bound.name
        self.machine: str = options["machine"]
        self.folder = files.make_folder(run_folder(self.name))
        self.card_serial = options.get("card_serial", "")
        self.console_device = options.get("console_device", CONSOLE_DEVICE)
        self._options = options
        self._target = bound
        self._check_place = check
        self._parts = target.parts_of(bound, self.name)
        self._console = Console(self.folder / "console")
        self._serial = self._parts.serial
        self._tap = SerialTap(self._serial.serial, self._console)
        self._serial.serial = self._tap
        banner = options["boot_banner"]
        self._line = SerialLine(self.name, self._tap.real, self._console, banner=banner)
        self._tap.line, self._tap.is_on = self._line, lambda: self.is_on
        self.relay = Relay(
            self.name,
            self._parts.power,
            self._line,
            patience=options.get("relay_timeout", _PATIENCE),
            quiet=options.get("quiet", _QUIET),
        )
        self.card = self._card_of(self._parts.mux, self._parts.storage)
        self._ssh = SshLink(
            lambda: self._address,
            user=options.get("ssh_user", self._parts.service.username),
            key=lab_file.ssh_key(options),
            pin=self.folder / PIN,
            prepare=options.get("ssh_prepare", ""),
            patience=options.get("ssh_patience", 0),
            revive=self._reset_network if options.get("network_reset") else None,
            answers_itself=self._answers_itself if options.get("network_reset") else None,
        )
        self._after_boot = AfterBoot(self.name, options, self._ssh, self._console)
        self._player = Player(self.name, options)
        self._pulse = Pulse()
        self._pause = threading.Event()
        self._prompt_boot = 0

    def open(self) -> None:
        """Hear its console, see that it is off, and that it is what the lab file says it is."""
        self._pulse.open()
        self._console.reopen()
        target.activate(self._target, self._serial)
        self.relay.off()
        look = self.card.look() if self.card and self.card.where() == HOST else None
        self._require_told(look)

    @property
    def can(self) -> Capabilities:
        """What a mux makes possible."""
        return Capabilities(self.name, Parts(medium_read=self.card, medium_write=self.card))

    @property
    def console_logs(self) -> list[Path]:
        """One file a boot since flashing, in order."""
        return self._console.logs

    @property
    def boots(self) -> int:
        """Boots since flashing: power-ons, and banners after the first of each."""
        return len(self._console.logs)

    @property
    def is_on(self) -> bool:
        """Whether it has power and has not switched itself off."""
        if not self.relay.is_on:
            return False
        logs = self._console.logs
        return not (logs and _OFF_ITSELF in logs[-1].read_bytes()[-4096:])

    @property
    def addresses(self) -> Addresses:
        """Of this host, as the lab file has them."""
        missing = [key for key in ("listen", "host_address") if key not in self._options]
        if missing:
            raise ConfigurationError(
                f"board {self.name}: options.{missing[0]} is missing in its lab file",
                hint="the IPv4 address of this host in the network of the board",
            )
        return Addresses(listen=self._options["listen"], host=self._options["host_address"])

    def flash(self, image: Path) -> None:
        """Write a disk image through the mux; boots, logs and host key begin anew."""
        if self.card is None:
            raise LabError(
                f"{self.name} has no SD mux: its card cannot be written while it is off",
                hint="write it by hand, or give the board a USBSDMuxDriver",
            )
        with step("flash", board=self.name, image=str(image)):
            self._pulse.begin()
            self._player.begin()
            self.check_lab()
            if self.relay.is_on:
                self.power_off()
            self._forget_sessions()
            self.card.flash(image)
            self._console.clear()
            self._prompt_boot = 0
            self._after_boot.begin()
            begin_with(self.folder, image)
        emit("bench", board=self.name, **kind.described(self._options, self._parts))

    def power_on(self) -> None:
        """Give power, with the card at the board."""
        self._check_place()
        if self.relay.is_on:
            if self.is_on:
                return
            self.power_off()  # it has switched itself off
        if self.card and self.card.where() != BOARD:
            self.card.give(BOARD)
            self.card.require_gone()
        self._console.skip()
        self._forget_console()
        self.relay.on(before=self._line.power_on)
        self._tell()

    def power_off(self) -> None:
        """Cut the power; the loss is the card's own."""
        was_on = self.is_on
        try:
            self.relay.off()  # first: hanging up takes time
        finally:
            self._ssh.close()
        self._console.close_input()
        (self.folder / "state.json").unlink(missing_ok=True)
        self._leave_shell()
        if was_on:
            count_cut(self.name, self.card_serial)
            self._after_boot.was_cut()

    def wait_boots(self, count: int, timeout: float) -> None:
        """Wait until it has booted `count` times since flashing; DeviceError if not."""
        deadline = Deadline(timeout)
        while self.boots < count:
            self._line.check()
            if deadline.over:
                self._check_place()
                raise DeviceError(
                    f"{self.name}: boot {count} did not come within {timeout:g} s "
                    f"(at {self.boots})",
                    details=self._console.tail(),
                )
            self._pause.wait(_POLL)
        self._ssh.close()
        self._leave_shell()
        self._tell()

    def expect(self, pattern: str, timeout: float) -> str:
        """Wait for a regular expression in what the console says next."""
        with self._speaking(f"no {pattern!r} on the console", timeout):
            _, _, match, _ = self._serial.expect(pattern, timeout=timeout)
        return bytes(match.group()).decode(errors="replace")

    def login(self, timeout: float) -> None:
        """Log in on the console of the running boot, with labgrid's ShellDriver."""
        if self._prompt_boot != self.boots:
            self._prompt_boot = self.boots
            self._console.rewind()
            self._forget_console()
        self._leave_shell()
        shell = self._parts.shell
        shell.login_timeout = math.ceil(timeout)
        with self._speaking("no login on the console", timeout):
            self._target.activate(shell)

    def run(self, command: str, *, timeout: float) -> CommandResult:
        """Run a command over SSH; the first one of a boot after a look at console and card."""
        self._require_on()
        with self._itself():
            self._after_boot.look(self.boots, timeout=timeout)
            return self._ssh.run(command, timeout=timeout)

    def host_key(self, *, timeout: float) -> str:
        """The host key that is pinned, and that it answers with now."""
        self._require_on()
        with self._itself():
            return self._ssh.host_key(timeout=timeout)

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        """Write a file over SSH, synced."""
        self._require_on()
        with self._itself():
            self._ssh.put(content, path, timeout=timeout)

    def share(self) -> Share:
        """What its host gave a virtual one."""
        return self._player.share(boots=self.boots)

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        """What its host gave a virtual one."""
        got = asdict(self.share())
        return {"share": got} if any(got.values()) else {}

    def check_lab(self) -> None:
        """LabError when relay, serial line, mux, network or place are not as they should be, or
        this process had no time for the board."""
        self._pulse.check(self.name)
        self._check_place()
        self._line.check()
        if self.relay.is_on and self.relay.says() == "off":
            raise LabError(f"{self.name}: somebody else has switched it off")
        if not self.is_on:
            return
        if self.card and (now := self.card.where()) != BOARD:
            raise LabError(f"{self.name}: its card is not in the board, but at {now!r}")
        if self.card:
            self.card.require_gone()
        reach.require_way(self.name, self._address, self._options.get("listen", ""))
        self._after_boot.check(self._answers_itself)

    def close(self) -> None:
        """Power off and give everything back. Idempotent."""
        self._forget_sessions()
        self._pulse.close()
        try:
            if self._serial.state.name == "active" and self.relay.is_on:
                self.power_off()
        except HarnessError as error:
            emit("not switched off", board=self.name, why=error.brief)
            raise
        finally:
            self._console.close_input()
            (self.folder / "state.json").unlink(missing_ok=True)
            if self._serial.state.name == "active":
                self._target.deactivate(self._serial)

    def _require_told(self, look: CardLook | None) -> None:
        """Of a card, too, that is seen later: at first the board may have it."""
        address = self._parts.service.address
        kind.require_told(self._lab, self.name, self._options, address, look)

    def _card_of(self, mux: Any, storage: Any) -> Card | None:
        if mux is None:
            return None
        return Card(
            self.name,
            mux,
            storage,
            serial=self.card_serial,
            is_off=lambda: not self.relay.is_on,
            require=self._require_told,
        )

    def _ask_itself(self, command: str) -> list[str]:
        """What a command prints on the board, over the console; nothing when it lets nobody in."""
        said: list[str] = []
        with contextlib.suppress(DeviceError), step("ask itself", board=self.name):
            self.login(_LOGIN)
            try:
                with self._speaking("no end of a command on the console", _LOGIN):
                    said, _, _ = self._parts.shell.run(command, timeout=_LOGIN)
            finally:
                self._leave_shell()
        return said

    @contextlib.contextmanager
    def _speaking(self, what: str, timeout: float) -> Iterator[None]:
        """A block in which labgrid speaks with the board; `what` is said when it says nothing."""
        try:
            with speaking(f"console of {self.name}"):
                yield
        except DeviceError as error:
            self._check_place()
            raise self._silent(what, timeout) from error

    def _reset_network(self) -> None:
        """What a person at the bench does when the lab's own network hangs: over the console."""
        self._ask_itself(self._options["network_reset"])

    def _answers_itself(self) -> bool:
        """Whether its SSH server answers on the board."""
        return any(line.startswith("SSH-") for line in self._ask_itself(reach.SSH_ANSWERS))

    @contextlib.contextmanager
    def _itself(self) -> Iterator[None]:
        """A block in which another host key than the board's own is the bench's doing."""
        try:
            yield
        except IdentityChanged:
            pin = self.folder / PIN
            pinned = pin.read_text() if pin.exists() else ""
            reach.require_other_host(self.name, pinned, self._ask_itself, self._address)
            raise

    @property
    def _address(self) -> tuple[str, int]:
        return self._parts.service.address, self._parts.service.port

    def _require_on(self) -> None:
        if not self.is_on:
            raise DeviceError(f"{self.name} is off: no SSH")

    def _tell(self) -> None:
        """Where other processes (`harness console`, `harness ssh`) find the running board."""
        target.tell(
            self.folder / "state.json",
            boots=self.boots,
            console=self._console.folder,
            service=self._parts.service,
        )

    def _forget_sessions(self) -> None:
        self._ssh.close()
        self._leave_shell()

    def _leave_shell(self) -> None:
        if self._parts.shell.state.name == "active":
            self._target.deactivate(self._parts.shell)

    def _forget_console(self) -> None:
        self._tap.forget()
        self._serial._expect = PtxExpect(self._serial)  # pexpect keeps what it has read

    def _silent(self, what: str, timeout: float) -> DeviceError:
        why = f"within {timeout:g} s" if self.is_on else "before the board went off"
        return DeviceError(
            f"{self.name}: {what} {why}",
            details=self._console.tail(),
            hint=f"console logs: {self._console.folder}",
        )
