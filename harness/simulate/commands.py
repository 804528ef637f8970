"""A control device: a Unix socket that takes one line and answers `ok ANSWER`, or what is wrong."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError, LabError

_LONGEST = 200
_ANSWER = 60.0  # seconds


def tell(path: Path, command: str) -> str:
    """What a control device answers. LabError for what is wrong, or nobody there."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(_ANSWER)
            channel.connect(str(path))
            channel.sendall(f"{command}\n".encode())
            with channel.makefile("r", encoding="utf-8") as stream:
                told = stream.readline().strip()
    except OSError as error:
        raise LabError(
            f"no virtual bench answers at {path}: {error.strerror or error}",
            hint="harness lab simulate LAB starts one",
        ) from error
    ok, _, answer = told.partition(" ")
    if ok != "ok":
        raise LabError(f"the virtual bench: {told}")
    return answer


class Commands:
    """Answers at `path`, one connection a command, from `open` to `close`."""

    def __init__(self, path: Path, answer: Callable[[str], str]) -> None:
        self._path = path
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)

    def open(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server.bind(str(self._path))
        self._server.listen()
        threading.Thread(target=self._accept, name="commands", daemon=True).start()

    def close(self) -> None:
        """End. Idempotent."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            client.makefile("rw", encoding="utf-8") as stream,
        ):
            command = stream.readline(_LONGEST).strip()
            try:
                told = f"ok {self._answer(command)}"
            except HarnessError as error:
                told = error.brief
            stream.write(told + "\n")
