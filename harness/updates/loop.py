"""An asyncio event loop in a thread of its own: what the server and the proxy run on.

Scenarios are plain blocking code; while one waits for the board, its servers go on working here.
"""

import asyncio
import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from harness.errors import LabError

T = TypeVar("T")

_TIMEOUT = 30.0  # seconds; nothing asked of the loop by `call` waits for a board


LOOPBACK = "127.0.0.1"  # where nobody but this host, and the boards that it plays, can reach them


def cannot_listen(who: str, where: tuple[str, int], error: OSError) -> LabError:
    """What to say when somebody else has the port, or this host has no such address."""
    host, port = where
    elsewhere = error.errno == errno.EADDRNOTAVAIL
    return LabError(
        f"{who}: port {port} of {host}: {os.strerror(error.errno or 0)}",
        hint="options.listen in the lab file must be an address of this host"
        if elsewhere
        else "end the program that listens there",
    )


class LoopThread:
    """Runs coroutines in its thread between `with` and its end; then cancels what is left."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call(_cancel_others())
        self.call(self._loop.shutdown_asyncgens())
        self.call(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for what it returns; must be called from outside."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_TIMEOUT)


class LoopServer(ABC):
    """Serves for the length of a `with` block: `_start` and `_stop` run in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._thread = LoopThread(name)

    @abstractmethod
    async def _start(self) -> None:
        """Begin to serve."""

    @abstractmethod
    async def _stop(self) -> None:
        """Serve no more."""

    def __enter__(self) -> Self:
        self._thread.__enter__()
        try:
            self._thread.call(self._start())
        except BaseException as error:
            self._thread.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._thread.call(self._stop())
        finally:
            self._thread.__exit__(kind, error, trace)


async def _cancel_others() -> None:
    """Cancel every task but this one, and wait until each has cleaned up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
