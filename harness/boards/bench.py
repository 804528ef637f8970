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

from harness import errors, files, paths, schema
from harness.boards import flashed, lab_file, lock, terminal
from harness.boards.flashed import FLASHED, KNOWN_HOSTS, PIN
from harness.boards.lab import board_options, open_board
from harness.boards.lab_file import BoardOptions
from harness.boards.qemu.device import run_folder
from harness.deadline import Deadline
from harness.errors import ConfigurationError, HarnessError, LabError
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
    power: str  # on | off
    holder: int | None = None
    boots: int | None = None
    ssh_port: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """state.json: what the process that has a board tells of it (`harness.boards.qemu.device`)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    holder: int
    qemu: int
    ssh_port: int
    boots: int
    console: str


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
    options = _known(lab, board)
    if action in ("off", "cut", "cycle"):
        _off(board)
    if action in ("on", "cycle") and not _is_on(board):
        _on(lab, board)
    return _told(_status(board, options))


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
    key = Path(options.get("ssh_key") or paths.home() / "pki/ssh_ed25519").expanduser()
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
    port = str(_state_of(board).ssh_port)
    user = options.get("ssh_user", "root")
    return interact(["ssh", "-i", key, "-p", port, *words, f"{user}@127.0.0.1", *command])


def status(*, lab: Path) -> list[BoardStatus]:
    """All boards of a lab file."""
    return [_status(name, options) for name, options in sorted(board_options(lab).items())]


def _on(lab: Path, board: str) -> None:
    folder = files.make_folder(run_folder(board))
    if not (folder / FLASHED).exists():
        raise ConfigurationError(
            f"board {board} has nothing to boot from", hint="flash an image first: harness flash"
        )
    log = folder / "holder.log"
    (folder / ERROR).unlink(missing_ok=True)
    holder = detach([sys.executable, "-m", "harness.boards.holder", lab.resolve(), board], log=log)
    threading.Thread(target=holder.wait, daemon=True).start()  # reaps it, should it end before us
    _wait(lambda: _is_on(board) or holder.poll() is not None, f"{board} did not come on")
    if holder.poll() is not None and not _is_on(board):
        raise _reason(folder / ERROR, log, board)


def _reason(file: Path, log: Path, board: str) -> HarnessError:
    """What kept a holder from its board, or the end of its log when it cannot say that."""
    if files.is_file(file):
        data = schema.from_json(dict[str, str], files.read(file), what=file)
        return errors.of_data(data, where=board)
    lines = log.read_text(errors="replace").splitlines()[-8:]
    return LabError(f"{board} did not come on", details="\n".join(lines))


def _off(board: str) -> None:
    pid = lock.holder(run_folder(board))
    if pid is None:
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


def _status(board: str, options: BoardOptions) -> BoardStatus:
    folder = run_folder(board)
    state = _running(board)
    return BoardStatus(
        board=board,
        machine=options.get("machine", "?"),
        power="on" if state else "off",
        holder=lock.holder(folder),
        boots=state.boots if state else None,
        ssh_port=state.ssh_port if state else None,
        version=flashed.version(folder),
    )


def _told(board: BoardStatus) -> str:
    if board.power == "off":
        return f"{board.board} is off"
    return (
        f"{board.board} is on: boot {board.boots} since flashing, held by process {board.holder}\n"
        f"harness console {board.board} | harness ssh {board.board}"
    )


def _known(lab: Path, board: str) -> BoardOptions:
    return lab_file.load(lab).target(lab, board).options or {}


def _wait(reached: Callable[[], bool], otherwise: str) -> None:
    deadline = Deadline(_SWITCHING)
    pause = threading.Event()
    while not reached():
        if deadline.over:
            raise LabError(f"{otherwise} within {_SWITCHING:g} s")
        pause.wait(_POLL)
