"""A USB network adapter that is plugged in when the board's USB controller is in use.

With the adapter in the port from the start, one boot in about six of Linux 6.12 on QEMU's raspi4b
ends without a network: the driver of the controller (dwc2) sees the adapter while it sets the
controller up, loses it again, and answers every request of its own kernel with "Not connected"
from then on. So it is plugged in like a person would do it: later. QEMU (10.0) must not unplug an
adapter that is in use; one without an address is not, and is plugged in again.
"""

import re
import threading
from typing import Any

from harness.boards.qemu.qmp import Monitor
from harness.errors import LabError

ID = "nic"
_LOOK = 0.5  # seconds between two looks at the controller
_SETTLED = 1.0  # seconds that its driver needs after it has taken it
_PATIENCE = 8.0  # seconds, longer than the board needs to give an address


def is_usb(nic: str) -> bool:
    """Whether a QEMU device (with properties) is a USB network adapter."""
    return nic.startswith("usb-")


class Adapter:
    """The USB network adapter of one QEMU process.

    `nic` is a QEMU device with properties; `when` is `ADDRESS:MASK` of a register (physical
    address, 32 bits) in which one of the bits is set once the controller is in use; empty: plug
    in at once. `patience`: seconds between two looks whether the board has given it an address.
    """

    def __init__(
        self, monitor: Monitor, nic: str, when: str, *, patience: float = _PATIENCE
    ) -> None:
        self._monitor = monitor
        driver, *pairs = nic.split(",")
        self._properties: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
        self._properties |= {"driver": driver, "netdev": "net0", "id": ID}
        self._when = when
        self._patience = patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="adapter", daemon=True)

    def watch(self) -> None:
        """Begin, with the machine running; ends by itself with the address or with QEMU."""
        self._thread.start()

    def close(self) -> None:
        """End now; QEMU must be dead. Idempotent."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        try:
            while self._when and not self._in_use():
                if self._over.wait(_LOOK):
                    return
            if self._when and self._over.wait(_SETTLED):
                return
            self._monitor.execute("device_add", **self._properties)
            while not self._over.wait(self._patience) and not self._has_address():
                self._monitor.execute("device_del", id=ID)
                self._monitor.execute("device_add", **self._properties)
        except LabError:
            return  # the machine has been switched off

    def _in_use(self) -> bool:
        address, _, mask = self._when.partition(":")
        text = self._ask(f"xp /1wx {address}")
        found = re.search(r":\s*0x([0-9a-f]+)", text)
        return found is not None and bool(int(found[1], 16) & int(mask, 0))

    def _has_address(self) -> bool:
        found = re.search(rf"Device \d+\.(\d+),.*ID: {ID}\b", self._ask("info usb"))
        return found is None or found[1] != "0"

    def _ask(self, command: str) -> str:
        words: dict[str, Any] = {"command-line": command}
        return str(self._monitor.execute("human-monitor-command", **words))
