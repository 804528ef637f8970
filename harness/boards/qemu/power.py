"""A QEMU board's supply: on until switched off, through as many boots as the guest makes.

One thread starts every QEMU process of a period of power and waits for its end: a reset begins
the next boot, a power-off ends the period. The thread lives as long as the period, as QEMU's
PR_SET_PDEATHSIG wants it (`harness.process.start`), and works while the harness is busy.
"""

import logging
import threading
from collections.abc import Callable

from harness.boards.qemu.vm import Vm
from harness.deadline import Deadline
from harness.errors import HarnessError, LabError

logger = logging.getLogger(__name__)


class PowerPeriod:
    """From power-on to power-off.

    `boot` starts a paused Vm (called in our thread, once a boot, the first time in `begin`);
    `may_reset` says whether a reset leads to another boot, or the power is in truth gone.
    """

    def __init__(self, boot: Callable[[bool], Vm], may_reset: Callable[[], bool]) -> None:
        self._boot = boot
        self._may_reset = may_reset
        self._change = threading.Condition()
        self._vm: Vm | None = None
        self._ended = False
        self._stopping = False
        self._error: HarnessError | None = None
        self._thread = threading.Thread(target=self._supply, name="power", daemon=True)

    def begin(self) -> None:
        """Start the first boot; raises what `boot` raises."""
        self._thread.start()
        with self._change:
            self._change.wait_for(lambda: self._vm or self._ended)
        self.check()
        if self._vm is None:
            raise LabError("QEMU did not start")

    def check(self) -> None:
        """Raise what ended the period, when it was not the board or us."""
        if self._error:
            raise self._error

    @property
    def on(self) -> bool:
        """Whether the board has power and has not switched itself off."""
        return not self._ended

    @property
    def vm(self) -> Vm:
        """The running boot; LabError when the power is off."""
        with self._change:
            if self._vm is None or self._ended:
                raise self._error or LabError("the board is off")
            return self._vm

    def wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Wait until `reached()`, looked at after each boot and at the end of the period."""
        deadline = Deadline(timeout)
        with self._change:
            return self._change.wait_for(lambda: reached() or self._ended, deadline.left())

    def begin_end(self) -> None:
        """No further boot, and whatever fails from here on is our doing. Then `end`."""
        self._stopping = True

    def end(self) -> None:
        """Kill QEMU and wait for the thread. Idempotent."""
        with self._change:
            self._stopping = True
            vm = self._vm
        if vm:
            vm.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _supply(self) -> None:
        try:
            while self._next_boot():
                pass
        except HarnessError as error:
            if not self._stopping:
                logger.warning("the board lost its power: %s", error)
                self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _next_boot(self) -> bool:
        """Run one boot to its end; True when another one follows."""
        first = self._vm is None
        vm = self._boot(first)
        with self._change:
            self._vm = vm
            stopping = self._stopping
            self._change.notify_all()
        try:
            reason = None if stopping else _end_of(vm)
        finally:
            vm.kill()
        if self._stopping:
            return False
        if reason is None:
            raise LabError("QEMU ended without being told to; see qemu.log in the run folder")
        return reason != "guest-shutdown" and self._may_reset()


def _end_of(vm: Vm) -> str | None:
    """Why the boot ended: QEMU's ShutdownCause; None when QEMU is gone."""
    while event := vm.next_event():
        if event["event"] == "SHUTDOWN":
            return str(event["data"]["reason"])
        logger.info("QEMU: %s %s", event["event"], event.get("data", ""))
    return None
