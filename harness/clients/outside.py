"""A device that is driven from outside, by the commands of a profile: no program of ours is on it.

What is asked of it is in `harness.product.profile`; docs/device-contract.md tells it to people. An
installation runs in a session of its own.
"""

import contextlib
import json
import re
import shlex

from harness.boards.board import Board
from harness.clients.boot_selection import BootSelection, Slot
from harness.clients.client import DeviceStatus, InstallResult
from harness.clients.shell import BUSY, RUN, SHORT, DeviceShell, kept
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.product.profile import DeviceCommands

_NOT_COMMITTED = "well, and not committed"
_LOOK = 2.0  # seconds between two looks at a device that is coming up
_ASK = 30.0  # seconds for one look

_START = f"! kill -0 $(cat {RUN}.pid 2>/dev/null) 2>/dev/null || {BUSY}; rm -f {RUN}.*; "
_APART = "setsid sh -c {} >/dev/null 2>&1 </dev/null &"
# The slot that runs, in the words of a known client: `rauc status` names the bootname.
SLOT = {
    "rauc": "rauc status --output-format=json",
}


class OutsideClient(DeviceShell):
    """A `Client` made of a profile. The boot selection it does not tell: nobody's words for it are
    the medium's, and the medium is read."""

    idle_changes = 0

    def __init__(self, board: Board, device: DeviceCommands, *, client: str) -> None:
        super().__init__(board)
        self._device, self._client = device, client

    def provision(self, server_url: str) -> None:
        """Tell the device its update server, where it wants to know; see `Client`."""
        self._do(f"mkdir -p {shlex.quote(self._device.data)}", SHORT)
        if self._device.provision:
            told = self._device.provision.replace("{server}", shlex.quote(server_url))
            self._do(told, SHORT)

    def install(self, url: str, timeout: float) -> InstallResult:
        """Install to the end; see `Client`."""
        self.start_install(url)
        return self.wait_install(timeout)

    def start_install(self, url: str) -> None:
        """Begin to install; see `Client`."""
        command = self._device.install.replace("{url}", shlex.quote(url))
        script = kept(f"sh -c {shlex.quote(command)}")
        self._do(_START + _APART.format(shlex.quote(script)), SHORT)

    def wait_install(self, timeout: float) -> InstallResult:
        """Wait for the end: acknowledged is what ends with 0 and says the profile's words."""
        code, log = self._installed(timeout)
        words = self._device.installed
        said = not words or re.search(words, log, re.MULTILINE) is not None
        lines = log.strip().splitlines() or [""]
        message = lines[-1].strip() if code or said else f"does not say {words!r}"
        return InstallResult(ok=not code and said, output=log, returncode=code, message=message)

    def status(self, timeout: float) -> DeviceStatus:
        """Ask what runs; see `Client`. What is not committed is not well."""
        limit = Deadline(timeout)
        return DeviceStatus(
            version=self._line(self._device.version, limit),
            variants=(),
            slot=self._slot(limit),
            boot_selection=None,
            health=self._why_not_well(limit) or "ok",
            update_server="",
            device_id=self._line(self._device.id, limit) if self._device.id else "",
        )

    @property
    def data_folder(self) -> str:
        """As the profile names it."""
        return self._device.data

    @property
    def keeps_server(self) -> bool:
        """Nobody knows how such a device keeps it."""
        return False

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        """Look again and again whether what runs is well, and let it be committed; see `Client`."""
        limit, seen = Deadline(timeout), "no answer"
        while not limit.over and boot in (0, self._board.boots):
            try:
                status = self.status(timeout=min(_ASK, limit.left()))
                if self._device.commit and status.health in ("ok", _NOT_COMMITTED):
                    self._do(self._device.commit, min(_ASK, limit.left()))
                    status = self.status(timeout=min(_ASK, limit.left()))
                seen = status.health
                if seen == "ok":
                    return f"slot {status.slot}: ok"
            except DeviceError as error:  # not up yet, or not any more
                seen = error.brief
            with contextlib.suppress(DeviceError):  # no reboot is no news
                self._board.wait_boots(self._board.boots + 1, timeout=_LOOK)
        raise DeviceError(f"{self._board.name}: not well within {timeout:g} s", details=seen)

    def _why_not_well(self, limit: Deadline) -> str:
        """Nothing, of one that is well, and committed as far as that can be asked."""
        well = self._board.run(self._device.well, timeout=limit.left())
        if well.returncode != 0:
            told = (well.stdout + well.stderr).strip().splitlines()
            return told[-1].strip() if told else f"exit code {well.returncode}"
        if not self._device.committed:
            return ""
        asked = self._board.run(self._device.committed, timeout=limit.left())
        return _NOT_COMMITTED if asked.returncode else ""

    def boot_selection(self, timeout: float) -> BootSelection:
        """Not told: LabError, for only the medium could say."""
        raise LabError(f"{self._board.name}: its boot selection is on its medium only")

    def reboot(self, timeout: float) -> None:
        """Ask for a reboot; see `Client`."""
        self._soon(self._device.reboot, timeout)

    def switch_off(self, timeout: float) -> None:
        """Ask for an orderly end; see `Client`."""
        self._soon(self._device.switch_off, timeout)

    def _soon(self, command: str, timeout: float) -> None:
        """The answer must get back before the network goes down."""
        self._do(_APART.format(shlex.quote(f"sleep 0.5; {command}")), timeout)

    def _slot(self, limit: Deadline) -> Slot:
        command = self._device.slot or SLOT.get(self._client, "")
        said = self._do(command, limit.left()).stdout
        try:
            if not self._device.slot:
                return Slot(json.loads(said)["booted"])
            return Slot(said.strip())
        except (ValueError, KeyError, TypeError) as error:
            raise self._nonsense("which slot it runs from", said) from error

    def _line(self, command: str, limit: Deadline) -> str:
        lines = self._do(command, limit.left()).stdout.strip().splitlines()
        if len(lines) != 1:
            raise self._nonsense(f"one line for `{command}`", "\n".join(lines))
        return lines[0].strip()
