"""The probe: a tiny, real, signed update. A board that came through a cut must still install one.

A device that runs but takes no update any more is as lost to its owner as one that does not boot.
The probe's slot is noise and never booted. The recorded board knows its update server by its port;
every process that boots crash states of that recording serves the probe there.
"""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from harness.boards.board import Board
from harness.clients.gateway import SERVER_FILE
from harness.crash.recording import PROBE, Recording
from harness.crash.verdict import Judge
from harness.errors import DeviceError
from harness.faults.server import UpdateServer
from harness.images import pki
from harness.images.artifacts import MAKERS
from harness.images.release import Release
from harness.log import step
from harness.verdict import Invariant

NAME = "second-update"  # the invariant
_SIZE = 1 << 20  # bytes of its slot
_SECONDS = 300.0  # to install it
# From the server that the device was given: that it still knows it is part of the question.
_INSTALL = f'gateway-update install "$(cat {SERVER_FILE})/{{name}}" 2>&1'


def make(old: Release, folder: Path) -> Path:
    """The probe for devices of the old version's recipe, in `folder`; BuildError when a tool
    fails."""
    recipe = old.load_recipe()
    slot = folder / "probe.slot"
    slot.write_bytes(random.Random(1).randbytes(_SIZE))  # noqa: S311 - noise, not a secret
    try:
        return MAKERS[old.client].make(
            slot,
            folder / f"{PROBE}{Path(old.artifact_name).suffix}",
            recipe=recipe,
            version=PROBE,
            signing=recipe.signing or pki.development(),
        )
    finally:
        slot.unlink()


@contextlib.contextmanager
def serving(recording: Recording) -> Iterator[UpdateServer]:
    """The update server of the recorded board, with the probe; several processes may do so at once.

    LabError when another program has the port.
    """
    with UpdateServer(recording.server_port) as server:
        server.add(recording.probe.name, recording.probe)
        yield server


def install(recording: Recording, board: Board, judge: Judge) -> Invariant:
    """Install the probe on a board that runs and is healthy; whether that worked, and why not."""
    with step("probe", board=board.name):
        try:
            problem = _problem(recording, board, judge)
        except DeviceError as error:
            problem = f"{error}\n{error.details}".strip()
    return Invariant(name=NAME, holds=not problem, detail=problem)


def _problem(recording: Recording, board: Board, judge: Judge) -> str:
    before = judge.medium_selection()
    # In one go, not as `Client.install` does it, which has to outlive its connection: seconds less.
    result = board.run(_INSTALL.format(name=recording.probe.name), timeout=_SECONDS)
    if result.returncode != 0:
        return f"exit code {result.returncode}: {result.stdout[-1000:]}"
    after = judge.medium_selection()
    if before is None or after is None or after.primary is not before.primary.other:
        return f"installed, but the boot selection went from {before} to {after}"
    return ""
