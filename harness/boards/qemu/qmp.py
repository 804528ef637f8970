"""A synchronous face on QEMU's machine protocol (QMP), on top of the qemu.qmp library.

The library is asyncio; the harness is not. One thread runs its event loop for as long as the
QEMU process lives, so that events arrive (with QEMU's own time stamps) even while the harness is
busy elsewhere. The connection is one end of a socket pair whose other end QEMU inherits: there is
no path to collide on and nothing to clean up.
"""

import asyncio
import contextlib
import logging
import queue
import socket
import threading
from concurrent.futures import CancelledError
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from harness.errors import LabError

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # a killed QEMU is not news here

Event = dict[str, Any]


class Monitor:
    """The QMP connection to one QEMU process.

    `events` receives the named events in order, and None once when the connection has ended
    (QEMU is gone).
    """

    def __init__(self, *, events: tuple[str, ...], connect_timeout: float = 30) -> None:
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._names = events
        self._connect_timeout = connect_timeout
        self._ours, self._theirs = socket.socketpair()
        self._client: Any = QMPClient("harness")
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._refused: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="qmp", daemon=True)

    @property
    def inherited_fd(self) -> int:
        """The descriptor that QEMU must inherit: `-chardev socket,id=qmp,fd=<this>`."""
        return self._theirs.fileno()

    def connect(self) -> None:
        """Greet QEMU, which has been started; LabError when it does not answer in time."""
        self._theirs.close()  # QEMU has its own copy: its end must close when it dies
        self._thread.start()
        self._ready.wait()
        if self._refused is not None:
            self.close()
            raise LabError("QEMU did not answer on its monitor") from self._refused

    def execute(self, command: str, *, timeout: float = 30, **arguments: Any) -> Any:
        """Run one QMP command; LabError when QEMU refuses, is gone, or is silent too long."""
        work = self._bounded(command, arguments, timeout)
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # the loop has ended, and QEMU before it
            work.close()
            raise LabError(f"QEMU is gone: cannot run {command}") from error
        try:
            return future.result(timeout + 5)
        except ExecuteError as error:
            raise LabError(f"QEMU refused {command}: {error}") from error
        except TimeoutError as error:
            raise LabError(f"QEMU did not answer {command} within {timeout:g} s") from error
        except (QMPError, CancelledError) as error:
            raise LabError(f"QEMU went away during {command}") from error

    def close(self) -> None:
        """Wait for the thread and free the socket. QEMU must be dead: its end of the socket is
        closed then, which ends the thread. Idempotent."""
        if self._thread.is_alive():
            self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._session())
        finally:
            self.events.put(None)
            self._ready.set()

    async def _session(self) -> None:
        try:
            greeting = self._client.connect(self._ours)
            await asyncio.wait_for(greeting, self._connect_timeout)
        except (QMPError, OSError, TimeoutError) as error:
            self._refused = error
            return
        forward = asyncio.create_task(self._forward())
        self._ready.set()
        try:
            while self._client.runstate.name == "RUNNING":
                await self._client.runstate_changed()
        finally:
            forward.cancel()
            with contextlib.suppress(QMPError, OSError, EOFError):
                await self._client.disconnect()

    async def _forward(self) -> None:
        with self._client.listener(self._names) as listener:
            async for event in listener:
                self.events.put(dict(event))

    async def _bounded(self, command: str, arguments: dict[str, Any], timeout: float) -> Any:
        return await asyncio.wait_for(self._client.execute(command, arguments), timeout)
