"""A conversation with the program that has a card, on the host of its reader (`card_host`)."""

import json
import os
import select
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Self

from harness import process
from harness.boards.hardware import card_host
from harness.boards.hardware.within import within
from harness.deadline import Deadline
from harness.errors import LabError

_LOAD = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv.pop(1))), 'card', 'exec'))"
_PIECE = 1 << 20
_LINE = 1 << 16  # bytes of an answer
_CONNECT = 30.0  # seconds


class CardLink:
    """One conversation, for the length of a `with` block. LabError for whatever keeps it from
    going on: the host, the network to it, the device."""

    def __init__(self, wrap: Callable[[Sequence[str]], list[str]], device: str) -> None:
        self._wrap = wrap  # a command on this host -> one that runs where the reader is
        self._device = device
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def __enter__(self) -> Self:
        source = Path(card_host.__file__).read_bytes()
        command = ["python3", "-c", _LOAD, str(len(source)), self._device]
        words = within(_CONNECT, f"the host of {self._device}", lambda: self._wrap(command))
        self._process = process.dialogue(words)
        self._send(source, Deadline(_CONNECT))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            process.kill_group(self._process)

    def ask(self, do: str, *, timeout: float, data: bytes = b"", **fields: Any) -> dict[str, Any]:
        """One request and its answer; `data` are the bytes of a `write`."""
        deadline = Deadline(timeout)
        request = {"do": do, **fields, **({"length": len(data)} if data else {})}
        self._send(json.dumps(request).encode() + b"\n" + data, deadline)
        line = self._until_newline(deadline)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._trouble(line.decode(errors="replace").strip()) from None
        if "error" in answer:
            used = "; ".join(answer.get("users", ()))
            raise self._trouble(f"{do}: {answer['error']}" + (f" ({used})" if used else ""))
        return dict(answer)

    def read(self, offset: int, length: int, *, timeout: float) -> bytes:
        """Bytes of the device."""
        deadline, found = Deadline(timeout), bytearray()
        while len(found) < length:
            count = min(_PIECE, length - len(found))
            self.ask("read", timeout=deadline.left(), offset=offset + len(found), length=count)
            while len(self._heard) < count:
                self._hear(deadline)
            found += self._heard[:count]
            self._heard = self._heard[count:]
        return bytes(found)

    def _send(self, data: bytes, deadline: Deadline) -> None:
        pipe, _ = self._pipes
        os.set_blocking(pipe.fileno(), False)
        view = memoryview(data)
        while view:
            if not select.select([], [pipe], [], deadline.left())[1]:
                raise self._trouble(f"takes nothing within {deadline.seconds:g} s")
            try:
                view = view[os.write(pipe.fileno(), view[:_PIECE]) :]
            except BrokenPipeError:
                last = self._rest()
                raise self._trouble(last or "the connection has ended") from None

    def _until_newline(self, deadline: Deadline) -> bytes:
        while b"\n" not in self._heard:
            if len(self._heard) > _LINE:
                raise self._trouble("answers what makes no sense")
            self._hear(deadline)
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _hear(self, deadline: Deadline) -> None:
        _, pipe = self._pipes
        if not select.select([pipe], [], [], deadline.left())[0]:
            raise self._trouble(f"no answer within {deadline.seconds:g} s")
        data = os.read(pipe.fileno(), _PIECE)
        if not data:
            said = self._heard.decode(errors="replace").strip()
            raise self._trouble(said.splitlines()[-1] if said else "the connection has ended")
        self._heard += data

    def _rest(self) -> str:
        """The last line that it said before it ended."""
        _, pipe = self._pipes
        lines = pipe.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """To the program, and from it."""
        if not self._process or not self._process.stdin or not self._process.stdout:
            raise LabError(f"{self._device}: nobody has been asked yet")
        return self._process.stdin, self._process.stdout

    def _trouble(self, why: str) -> LabError:
        return LabError(f"card {self._device}: {why}")
