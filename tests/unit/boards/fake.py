"""The fake board: what every test's own one is made from.

It has the whole of `harness.boards.board.Board` and every capability, so no test has to say that
something else is a board. What a test does not give it, nobody may ask of it: that is an error of
the test, or of who asked.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from harness.boards.board import Addresses, CommandResult
from harness.boards.capability import Capabilities, Capability, Parts, SavedState
from harness.boards.share import Share
from harness.medium.model import Failing, Loss, PowerCut, Trigger


class FakeBoard:
    """`lacks`: what it cannot; `live`: whether its medium can be read while it is on."""

    name: str = "fake"
    machine: str = "fake"
    boots: int = 0
    is_on: bool = False
    live: bool = True
    accelerator: str = "tcg"
    lacks: frozenset[Capability] = frozenset()

    @property
    def can(self) -> Capabilities:
        parts = Parts(
            medium_read=self,
            medium_write=self,
            medium_fail=self,
            cut_at_write=self,
            choose_loss=self,
            save=self,
            record=self,
            link=self.link,
            set_clock=self.set_clock,
        )
        without = {each.replace("-", "_"): None for each in self.lacks}
        return Capabilities(self.name, replace(parts, **without))

    @property
    def console_logs(self) -> list[Path]:
        return []

    @property
    def write_log(self) -> Path:
        self._unexpected("write_log")

    def flash(self, image: Path) -> None:
        self._unexpected("flash")

    def power_on(self) -> None:
        self.is_on = True

    def power_off(self) -> None:
        self.is_on = False

    def wait_boots(self, count: int, timeout: float) -> None:
        self._unexpected("wait_boots")

    def expect(self, pattern: str, timeout: float) -> str:
        self._unexpected("expect")

    def login(self, timeout: float) -> None:
        self._unexpected("login")

    def run(self, command: str, *, timeout: float) -> CommandResult:
        self._unexpected("run")

    def host_key(self, *, timeout: float) -> str:
        self._unexpected("host_key")

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        self._unexpected("put")

    def check_lab(self) -> None:
        pass

    def share(self) -> Share:
        return Share()

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        return {}

    @property
    def addresses(self) -> Addresses:
        return Addresses(listen="127.0.0.1", host="10.0.2.2")

    def close(self) -> None:
        self.is_on = False

    # Its capabilities.

    def read(self, offset: int, length: int) -> bytes:
        self._unexpected("read")

    def sha256(self, offset: int, length: int) -> str:
        return hashlib.sha256(self.read(offset, length)).hexdigest()

    def overwrite(self, offset: int, content: bytes) -> None:
        self._unexpected("overwrite")

    def harm(self, offset: int, length: int) -> None:
        self._unexpected("harm")

    def fail(self, failings: Sequence[Failing], *, since: Trigger | None = None) -> int:
        self._unexpected("fail")

    def arm(self, trigger: Trigger) -> None:
        self._unexpected("arm")

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        self._unexpected("wait_cut")

    def disarm(self) -> None:
        self._unexpected("disarm")

    def freeze(self) -> None:
        self._unexpected("freeze")

    def cut(self, loss: Loss) -> PowerCut:
        self._unexpected("cut")

    def save(self, name: str) -> SavedState:
        self._unexpected("save")

    def restore(self, state: SavedState) -> None:
        self._unexpected("restore")

    def mark(self, name: str) -> None:
        """Nobody reads this one's log."""

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        self._unexpected("load_state")

    def read_set(self) -> list[tuple[int, int]]:
        self._unexpected("read_set")

    def link(self, *, up: bool) -> None:
        self._unexpected("link")

    def set_clock(self, at: datetime | None) -> None:
        self._unexpected("set_clock")

    def _unexpected(self, what: str) -> NoReturn:
        raise AssertionError(f"{what} was asked of a fake board that has none")
