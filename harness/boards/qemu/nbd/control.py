"""The control channel: how the harness talks to the store inside nbdkit.

A Unix stream socket that the harness made and handed over listening, so that nobody ever polls
for it. One connection a call: one line of JSON `{"do": name, ...}`, answered by one line,
`{"answer": ...}` or `{"error": "..."}`. `encode_*` and `decode_*` are used by both ends.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import base64
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.boards.qemu.nbd.store import Refused, Store
from harness.medium.model import Event, Failing, Loss, Misdeed, PowerCut, Stage, Trigger

Message = dict[str, Any]


def decode_trigger(message: Message) -> Trigger:
    """A trigger from the JSON form of its `asdict`."""
    stages = (Stage(**{**stage, "event": Event(stage["event"])}) for stage in message["stages"])
    return Trigger(stages=tuple(stages), before=message["before"])


def decode_failing(message: Message) -> Failing:
    """A failing from the JSON form of its `asdict`."""
    return Failing(**{**message, "what": Misdeed(message["what"])})


def decode_cut(message: Message) -> PowerCut:
    """A cut from the JSON form of its `asdict`."""
    torn = message["torn"]
    return PowerCut(
        **{**message, "kept": tuple(message["kept"]), "torn": (torn[0], torn[1]) if torn else None}
    )


class ControlServer:
    """Serves a store on a listening socket, in threads that die with the process."""

    def __init__(self, store: Store, listening: socket.socket) -> None:
        self._socket = listening
        self._calls: dict[str, Callable[[Message], Any]] = {
            "hello": lambda _: "ready",
            "load": lambda m: store.load(Path(m["image"]), m["sha256"]),
            "load_state": lambda m: store.load_state(Path(m["state_file"])),
            "freeze": lambda _: store.freeze(),
            "drop": lambda m: asdict(store.drop(Loss.parse(m["loss"]), digest=m["digest"])),
            "release": lambda _: store.release(),
            "arm": lambda m: store.arm(decode_trigger(m["trigger"])),
            "disarm": lambda _: store.disarm(),
            "wait": lambda m: store.wait_tripped(m["timeout"]),
            "mark": lambda m: store.mark(m["name"]),
            "position": lambda _: store.position,
            "size": lambda _: store.size,
            "pending": lambda _: store.pending,
            "read": lambda m: base64.b64encode(store.peek(m["offset"], m["length"])).decode(),
            "sha256": lambda m: store.sha256(m["offset"], m["length"]),
            "copy": lambda m: store.copy(
                m["offset"], m["length"], Path(m["target"]), as_read=m["as_read"]
            ),
            "read_set": lambda m: Path(m["target"]).write_text(json.dumps(store.read_set())),
            "overwrite": lambda m: store.spoil(m["offset"], base64.b64decode(m["data"])),
            "harm": lambda m: store.harm(m["offset"], m["length"]),
            "fail": lambda m: store.fail(
                [decode_failing(each) for each in m["failings"]],
                m["since"] and decode_trigger(m["since"]),
            ),
            "served": lambda _: [asdict(each) for each in store.service.figures()],
            "save": lambda m: store.save(Path(m["folder"])),
            "restore": lambda m: store.restore(Path(m["folder"])),
            "close": lambda _: store.close(),
        }

    def start(self) -> None:
        """Serve from now on; must be called after nbdkit has forked."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            message = json.loads(stream.readline() or "{}")
            answer: Message
            try:
                answer = {"answer": self._calls[message["do"]](message)}
            except (Refused, ValueError, OSError) as problem:
                answer = {"error": str(problem)}
            stream.write(json.dumps(answer) + "\n")
