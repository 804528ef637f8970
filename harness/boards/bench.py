"""What an engineer does with one board by hand: flash, power, console, ssh, status.

A board that is on belongs to a process: a test run, or the holder that `power(..., "on")` leaves
behind (`harness.boards.holder`). Who only wants to watch or log in finds it through `state.json`
in the board's run folder; who wants to change it needs its lock.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from harness import errors, files, schema
from harness.boards import flashed, lab_file, lock, terminal
from harness.boards.flashed import FLASHED, KNOWN_HOSTS, PIN
from harness.boards.hardware import target
from harness.boards.lab import load_lab, open_board
from harness.boards.lab_file import BoardOptions, Kind
from harness.boards.qemu.device import run_folder
from harness.deadline import reached_within
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.log import WAITING, emit, step
from harness.process import detach, interact

ERROR = "holder.json"  # in a board's run folder: what its holder ended with
ACTIONS = ("on", "off", "cycle", "cut", "status")
_SWITCHING = 60.0  # seconds
_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardStatus:
    """One board of a lab; `holder` is the process that has it, `version` what was flashed."""

    board: str
    machine: str
    power: str  # on | off | unknown: of a board that nobody of ours has
    holder: int | None = None
    boots: int | None = None
    ssh_port: int | None = None
    version: str = ""
    place: str = ""  # who has it, of a shared lab


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """state.json: what the process that has a board tells of it (`harness.boards.qemu.device`)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    holder: int
    ssh_port: int
    boots: int
    console: str
    qemu: int = 0  # of a board that QEMU plays
    ssh_host: str = "127.0.0.1"


def flash(image: Path, board: str, *, machine: str, lab: Path) -> None:
    """Write a release's disk image to a board that is off; `machine` is what it was built for."""
    with open_board(lab, board) as opened:
        if opened.machine != machine:
            raise ConfigurationError(
                f"{board} is a {opened.machine}, the release is for {machine}",
                hint="harness status shows the boards and their machines",
            )
        opened.flash(image)


def power(board: str, action: str, *, lab: Path) -> str:
    """Switch a board `on`, `off`, `cycle` or `cut` it; returns what to tell the user.

    `off` and `cut` are the same thing: nobody asks the board first, and what it had not flushed
    is lost.
    """
    if action not in ACTIONS:
        raise ConfigurationError(f"power: no action {action!r}", hint=", ".join(ACTIONS))
    _known(lab, board)
    if action in ("off", "cut", "cycle"):
        with step("power off", board=board):
            _off(lab, board)
    if action in ("on", "cycle") and not _is_on(board):
        with step("power on", board=board):
            _on(lab, board)
    return _told(_status(lab, board))


def console(board: str, *, lab: Path) -> None:
    """The user's terminal on the serial console of a board that is on; Ctrl-] leaves."""
    _known(lab, board)
    folder = Path(_state_of(board).console)
    if not has_terminal():
        raise ConfigurationError(
            f"no terminal to show the console of {board} on", hint=f"its logs lie in {folder}"
        )
    terminal.attach(folder)


def has_terminal() -> bool:
    """Whether somebody sits at a terminal, to type and to read."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def ssh(board: str, command: Sequence[str] = (), *, lab: Path) -> int:
    """OpenSSH on the user's terminal, a shell or one command; returns its exit code."""
    options = _known(lab, board)
    folder = run_folder(board)
    known = folder / KNOWN_HOSTS
    if (folder / PIN).exists():
        pinned = files.text(folder / PIN, hint=f"flash {board} again")
        files.write_whole(known, f"{board} {pinned}".encode())
    key = lab_file.ssh_key(options)
    settings = {
        "HostKeyAlias": board,
        "UserKnownHostsFile": known,
        "StrictHostKeyChecking": "accept-new",
        "IdentitiesOnly": "yes",
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 3,
        "ConnectTimeout": 60,  # a board that boots takes its time
        "LogLevel": "ERROR",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    state = _state_of(board)
    at = f"{options.get('ssh_user', 'root')}@{state.ssh_host}"
    return interact(["ssh", "-i", key, "-p", str(state.ssh_port), *words, at, *command])


def status(*, lab: Path) -> list[BoardStatus]:
    """All boards of a lab file."""
    file = lab_file.load(lab)
    held = _held(lab, [name for name in file.targets if file.kind(name) is not Kind.QEMU])
    return [_status(lab, name, held.get(name, "")) for name in sorted(file.targets)]


def status_of(board: str, *, lab: Path) -> BoardStatus:
    """One of them, as far as it is known on this host."""
    _known(lab, board)
    return _status(lab, board)


def address_of(board: str) -> tuple[str, int] | None:
    """Where a board that is on answers to SSH; None of one that is off."""
    state = _running(board)
    return (state.ssh_host, state.ssh_port) if state else None


def _held(lab: Path, boards: Sequence[str]) -> dict[str, str]:
    """Who has boards of a shared lab, or why nobody can say."""
    if not boards:
        return {}
    try:
        with step("ask who has the boards", lab=str(lab)):
            return target.places_held(load_lab(lab), boards)
    except LabError as error:
        return dict.fromkeys(boards, error.brief)


def _on(lab: Path, board: str) -> None:
    folder = files.make_folder(run_folder(board))
    played = lab_file.load(lab).kind(board) is Kind.QEMU  # else whatever is on its card
    if played and not (folder / FLASHED).exists():
        raise ConfigurationError(
            f"board {board} has nothing to boot from", hint="flash an image first: harness flash"
        )
    log = folder / "holder.log"
    (folder / ERROR).unlink(missing_ok=True)
    holder = detach([sys.executable, "-m", "harness.boards.holder", lab.resolve(), board], log=log)
    threading.Thread(target=holder.wait, daemon=True).start()  # reaps it, should it end before us
    patience = _SWITCHING
    if not played and (why := _held(lab, [board]).get(board)):
        emit(WAITING, why=why)
        patience += _known(lab, board).get("wait", target.WAIT)
    _wait(lambda: _is_on(board) or holder.poll() is not None, f"{board} did not come on", patience)
    if holder.poll() is not None and not _is_on(board):
        raise _reason(folder / ERROR, log, board)


def _reason(file: Path, log: Path, board: str) -> HarnessError:
    """What kept a holder from its board, or the end of its log when it cannot say that."""
    if files.is_file(file):
        data = schema.from_json(dict[str, str], files.read(file), what=file)
        return errors.of_data(data, where=board)
    lines = log.read_text(errors="replace").splitlines()[-8:]
    return LabError(f"{board} did not come on", details="\n".join(lines))


def _off(lab: Path, board: str) -> None:
    pid = lock.holder(run_folder(board))
    if pid is None:
        if lab_file.load(lab).kind(board) is not Kind.QEMU:
            with open_board(lab, board):  # who has it has seen that it is off
                return
        return
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return
    if b"harness.boards.holder" not in words:
        raise LabError(
            f"board {board} is in use by process {pid}, which is no bench session",
            hint="wait for it, or interrupt it where it was started",
        )
    os.kill(pid, signal.SIGTERM)
    _wait(lambda: lock.holder(run_folder(board)) != pid, f"{board} did not go off")


def _is_on(board: str) -> bool:
    return _running(board) is not None


def _running(board: str) -> _State | None:
    """What the holder tells of a board that is on, None of one that is off: it may go off at
    any time."""
    folder = run_folder(board)
    if lock.holder(folder) is None:
        return None
    file = folder / "state.json"
    try:
        return schema.from_json(
            _State, files.read(file), what=file, hint=f"harness power {board} off"
        )
    except ConfigurationError:
        if file.exists():
            raise
        return None  # it has gone off


def _state_of(board: str) -> _State:
    state = _running(board)
    if state is None:
        raise LabError(f"board {board} is off", hint=f"harness power {board} on")
    return state


def _status(lab: Path, board: str, place: str = "") -> BoardStatus:
    folder, file = run_folder(board), lab_file.load(lab)
    state = _running(board)
    ours = file.kind(board) is Kind.QEMU or lock.holder(folder) is not None
    return BoardStatus(
        board=board,
        machine=file.options[board.partition("@")[0]].get("machine", "?"),
        power="on" if state else "off" if ours else "unknown",
        place=place,
        holder=lock.holder(folder),
        boots=state.boots if state else None,
        ssh_port=state.ssh_port if state else None,
        version=flashed.version(folder),
    )


def _told(board: BoardStatus) -> str:
    if board.power == "off":
        return f"{board.board} is off"
    if board.power == "unknown":
        return f"{board.board}: nobody on this host has it, so its power is not known"
    return (
        f"{board.board} is on: boot {board.boots} since flashing, held by process {board.holder}\n"
        f"harness console {board.board} | harness ssh {board.board}"
    )


def _known(lab: Path, board: str) -> BoardOptions:
    return lab_file.load(lab).target(lab, board).options or {}


def _wait(reached: Callable[[], bool], otherwise: str, patience: float = _SWITCHING) -> None:
    if not reached_within(patience, reached, poll=_POLL):
        raise LabError(f"{otherwise} within {patience:g} s")
