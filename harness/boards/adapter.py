"""A USB network adapter that is plugged in again until the board has taken notice of it.

With the adapter in the port from the start, one boot in about six of Linux 6.12 on QEMU's raspi4b
ends without a network: the driver of the USB controller (dwc2) resets its idea of the port after
it has seen the adapter, and answers every request of its own kernel with "Not connected" from
then on. Plugging it in again is what a person would do. QEMU (10.0) must not unplug an adapter
that is in use; one without an address is not.
"""

import re
import threading
from typing import Any

from harness.boards.qmp import Monitor
from harness.errors import LabError

ID = "nic"
_PATIENCE = 8.0  # seconds between two looks, longer than the board needs to give an address


def is_usb(nic: str) -> bool:
    """Whether a QEMU device (with properties) is a USB network adapter."""
    return nic.startswith("usb-")


class Adapter:
    """The USB network adapter of one QEMU process; `nic` as on its command line."""

    def __init__(self, monitor: Monitor, nic: str) -> None:
        self._monitor = monitor
        driver, *pairs = nic.split(",")
        self._properties: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
        self._properties |= {"driver": driver, "netdev": "net0", "id": ID}
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
            while not self._over.wait(_PATIENCE) and not self._has_address():
                self._monitor.execute("device_del", id=ID)
                self._monitor.execute("device_add", **self._properties)
        except LabError:
            return  # the machine has been switched off

    def _has_address(self) -> bool:
        words: dict[str, Any] = {"command-line": "info usb"}
        text = self._monitor.execute("human-monitor-command", **words)
        found = re.search(rf"Device \d+\.(\d+),.*ID: {ID}\b", text)
        return found is None or found[1] != "0"
