"""From a labgrid environment file to a `Board`: the only way scenarios get one.

`open_board` owns the board for the length of a `with` block: lock, medium, power, SSH.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from labgrid import Environment

from harness import files
from harness.boards import lab_file
from harness.boards.board import Board
from harness.boards.hardware import board as hardware
from harness.boards.lab_file import BoardOptions, Kind
from harness.boards.qemu.board import QemuBoard
from harness.errors import ConfigurationError, HarnessError


@contextlib.contextmanager
def open_board(lab: Path, name: str) -> Iterator[Board]:
    """The board `name` of a lab file, ours alone, off; given back at the end whatever happens.

    `name@7` is one more board like `name`, with a run folder of its own: a QEMU board can be had
    as often as the host bears it.
    ConfigurationError for a lab file or board that does not exist or cannot be used; LabError
    when somebody else has the board.
    """
    lab_file.require_name(name)
    kind = name.partition("@")[0]
    options = _options(lab, kind)
    environment = load_lab(lab)
    if lab_file.load(lab).kind(kind) is not Kind.QEMU:
        with hardware.opened(environment, name, lab=lab, options=options) as board:
            yield board
        return
    with _told(lab, f"board {name}"):
        targets = environment.config.get_targets()
        targets[name] = targets[kind]
        played = QemuBoard(environment.get_target(name), options=options)
    try:
        yield played
    finally:
        played.close()


def load_lab(lab: Path) -> Environment:
    """A lab file as labgrid has it; ConfigurationError when it is missing or wrong."""
    lab_file.load(lab)
    with _told(lab, "imports"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labgrid's own deprecations are not our user's
        return Environment(str(lab))


def board_options(lab: Path) -> dict[str, BoardOptions]:
    """The options of each board of a lab file."""
    return lab_file.load(lab).options


@contextlib.contextmanager
def _told(lab: Path, key: str) -> Iterator[None]:
    """A block in which labgrid makes something of a lab file: whatever it raises, or a module that
    the file imports, is about that file."""
    try:
        yield
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:  # one that ends the program, too
        why = str(error) or type(error).__name__
        raise ConfigurationError(
            f"{files.shown(lab)}: {key}: {type(error).__name__}", details=why
        ) from error


def _options(lab: Path, name: str) -> BoardOptions:
    target = lab_file.load(lab).target(lab, name)
    options = target.options or {}
    if "machine" not in options:
        raise ConfigurationError(f"{lab}: targets.{name}.options.machine is missing")
    return options
