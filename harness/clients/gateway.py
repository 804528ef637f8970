"""A device that is asked through its own programs, whichever update client is behind them.

The commands are those of docs/architecture.md ("On the device"). An installation runs as a systemd
unit of its own.
"""

import json
import re
import shlex

from harness.clients.boot_selection import BootSelection, Slot
from harness.clients.client import DeviceStatus, InstallResult
from harness.clients.shell import BUSY, RUN, SHORT, DeviceShell, kept
from harness.deadline import Deadline
from harness.errors import DeviceError

SERVER_FILE = "/data/config/update-server"
# What gateway-health writes to the console once a boot; `rolled back` is followed by a reboot.
HEALTH_LINE = r"gateway-health: slot [AB]: (ok|degraded|rolled back)[^\r\n]*"
_SLICE = 5.0  # seconds between two looks whether the board has reset itself
_UNIT = "harness-install"
_INSTALL = kept('gateway-update install "$1"')
_START = (
    f"! systemctl --quiet is-active {_UNIT} || {BUSY}; rm -f {RUN}.*; "
    f"systemd-run --quiet --collect --unit={_UNIT} sh -c "
)
_STATUS = (
    '. /etc/gateway-release; printf "%s\\n" "$VARIANT" '
    f'"$(cat {SERVER_FILE} 2>/dev/null)"; gateway-update status'
)
# The answer must get back before the network goes down. systemd's timers are a minute inexact
# unless told otherwise (systemd.timer(5), AccuracySec).
_SOON = "systemd-run --quiet --collect --on-active=0.5 --timer-property=AccuracySec=50ms systemctl "


class GatewayClient(DeviceShell):
    """A `Client` but for what differs: how an update client says why it refused, what it writes."""

    idle_changes = 0
    data_folder = "/data/sentinel"
    keeps_server = True

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        """Wait for the line on the console, in slices so that a reboot loop is seen as such; see
        `Client`."""
        deadline = Deadline(timeout)
        while True:
            try:
                return self._board.expect(HEALTH_LINE, timeout=min(_SLICE, deadline.left()))
            except DeviceError:
                if deadline.over or boot not in (0, self._board.boots):
                    raise

    def provision(self, server_url: str) -> None:
        """Write the update server's URL; see `Client`."""
        self._do("mkdir -p /data/config", SHORT)
        self._board.put(f"{server_url}\n".encode(), SERVER_FILE, timeout=SHORT)

    def install(self, url: str, timeout: float) -> InstallResult:
        """Install to the end; see `Client`."""
        self.start_install(url)
        return self.wait_install(timeout)

    def start_install(self, url: str) -> None:
        """Begin to install; see `Client`."""
        # The manager expands `$` in a unit's command line; `$$` is one `$` (systemd.service(5)).
        script = shlex.quote(_INSTALL.replace("$", "$$"))
        self._do(f"{_START}{script} sh {shlex.quote(url)}", SHORT)

    def wait_install(self, timeout: float) -> InstallResult:
        """Wait for the end; see `Client`."""
        code, log = self._installed(timeout)
        return InstallResult(ok=code == 0, output=log, returncode=code, message=self._message(log))

    def status(self, timeout: float) -> DeviceStatus:
        """Ask what runs; see `Client`."""
        output = self._do(_STATUS, timeout).stdout
        try:
            variants, server, answer = output.split("\n", 2)
            said = json.loads(answer)
            return DeviceStatus(
                version=str(said["version"]),
                variants=tuple(re.findall(r"[^\s,]+", variants)),
                slot=Slot(said["slot"]),
                boot_selection=BootSelection.parse(said["boot_selection"]),
                health=str(said["health"]),
                update_server=server,
                device_id=str(said.get("device_id", "")),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise self._nonsense("what it runs", output) from error

    def boot_selection(self, timeout: float) -> BootSelection:
        """Ask for the boot selection; see `Client`."""
        output = self._do("boot-selection show", timeout).stdout
        try:
            return BootSelection.parse_show(output)
        except ValueError as error:
            raise self._nonsense("its boot selection", output) from error

    def reboot(self, timeout: float) -> None:
        """Ask for a reboot; see `Client`."""
        self._do(f"{_SOON}reboot", timeout)

    def switch_off(self, timeout: float) -> None:
        """Ask for an orderly end; see `Client`."""
        self._do(f"{_SOON}poweroff", timeout)

    def _errors(self, output: str) -> list[str]:
        """What the update client itself calls errors, in order; a subclass knows its form."""
        return []

    def _message(self, output: str) -> str:
        lines = self._errors(output) or output.strip().splitlines() or [""]
        return lines[-1].strip()
