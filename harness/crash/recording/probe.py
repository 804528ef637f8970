"""The probe: a tiny, real, signed update. A board that came through a cut must still install one.

A device that runs but takes no update any more is as lost to its owner as one that does not boot.
So the probe's bytes must be in the slot that the client says it installed it in: it is another
artifact than the one whose installation was cut, and a client that goes on where it was would make
a mixture. Its slot is noise, so what boots next cannot be it: the attempts are counted, and the
board must come back with the version that it ran before. Of a product whose artifacts nobody here
can make it is the old version's own update, or that of a newer version that was told, and boots.

The recorded board knows its update server by its port; every process that boots crash states of
that recording serves the probe there.
"""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from harness.boards.board import Board
from harness.builders import builder
from harness.builders.builder import Ability
from harness.clients.boot_selection import Slot
from harness.clients.gateway import SERVER_FILE
from harness.crash.recording.recording import PROBE, Recording
from harness.errors import ConfigurationError, DeviceError
from harness.judge.judge import Judge
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.trouble import require_lab
from harness.judge.verdict import Invariant, Judgement, Verdict
from harness.log import step
from harness.medium.files import copy_file
from harness.product.release import Digest, Release
from harness.updates.server import UpdateServer

NAME = "second-update"  # the invariants
BACK = "back-from-second-update"
AGAIN = "second-boot"
_SIZE = 1 << 20  # bytes of its slot
_SECONDS = 300.0  # to install it
_SHORT = 60.0


def require(old: Release, new: Release, newer: Release | None) -> None:
    """ConfigurationError for versions that no probe can be had for."""
    if new.product.successor:
        raise ConfigurationError(
            f"{new.folder}: nothing can be installed after each cut of an update to it",
            details="successor: its devices take no update that those of the old version take",
            hint="record the update before the key is handed over, and the one after it",
        )
    refused = old.product.promises.downgrades == "refused"
    if builder.lacking(old, Ability.ARTIFACT) and refused and not newer:
        raise ConfigurationError(
            f"{old.folder}: nothing can be installed on {old.machine} after each cut",
            details="promises.downgrades: refused, so the old version's own update is not taken,"
            " and no other one can be made of images that others built",
            hint="name a version that is newer than both: --newer RELEASE",
        )


def make(old: Release, folder: Path, newer: Release | None) -> Digest:
    """The probe for devices of the old version, in `folder`; what it makes of a slot. `newer`'s own
    update; else, of a product whose builder can make none, the old version's: another one than the
    update that is recorded, and longer. BuildError when a tool fails."""
    probe = folder / f"{PROBE}{Path(old.artifact_name).suffix}"
    if newer or builder.lacking(old, Ability.ARTIFACT):
        version = newer or old
        copy_file(version.artifact, probe)
        return version.slot
    by = builder.of(old)
    slot = folder / "probe.slot"
    noise = random.Random(1).randbytes(_SIZE)  # noqa: S311 - noise, not a secret
    slot.write_bytes(noise)
    try:
        by.artifact(old, slot, probe, version=PROBE)
    finally:
        slot.unlink()
    return Digest(sha256=sha256(noise).hexdigest(), size=len(noise))


@contextlib.contextmanager
def serving(recording: Recording, board: Board) -> Iterator[UpdateServer]:
    """The update server of the recorded board, with the probe, for one like it; several processes
    may do so at once.

    LabError when another program has the port.
    """
    with UpdateServer(recording.server_port, listen=board.addresses.listen) as server:
        server.add(recording.probe.name, recording.probe)
        yield server


def install(recording: Recording, board: Board, judge: Judge) -> Invariant:
    """Install the probe on a board that runs and is healthy; whether that worked, and why not."""
    with step("probe", board=board.name):
        try:
            problem = _problem(recording, board, judge)
        except DeviceError as error:
            problem = f"{error}\n{error.details}".strip()
            require_lab(judge.board, problem)
    return Invariant(name=NAME, holds=not problem, detail=problem)


def stays(judge: Judge, before: Judgement) -> tuple[Invariant, Verdict]:
    """Reboot a board that came through a cut, before anything else is asked of it: what was good in
    the first boot must be good in the second one."""
    return _rebooted(judge, AGAIN, before, (before.final, before.slot))


def come_back(recording: Recording, judge: Judge, before: Judgement) -> tuple[Invariant, Verdict]:
    """Reboot a board that has installed the probe: whether it comes back as it was, for the probe
    is noise and does not boot; or, where it is a version, runs that."""
    wanted = before.final, before.slot
    if recording.probe_version:
        wanted = "old", str(Slot(before.slot).other)
    if recording.newer:  # beside it there is what ran before
        ran = recording.old if before.final == "old" else recording.new
        judge = replace(judge, old=recording.newer, new=ran)
    return _rebooted(judge, BACK, before, wanted)


def _rebooted(
    judge: Judge, name: str, before: Judgement, wanted: tuple[str, str]
) -> tuple[Invariant, Verdict]:
    """Whether a board ends a reboot in a version and a slot, and what it has come to otherwise."""
    with step("back", board=judge.board.name):
        boots = judge.board.boots
        try:
            judge.client.reboot(timeout=_SHORT)
            after = judge.judge(boots_before=boots)
        except DeviceError as error:
            require_lab(judge.board, str(error))
            return Invariant(name=name, holds=False, detail=str(error)), Verdict.INCONSISTENT
    broken = [f"{each.name}: {each.detail}" for each in after.invariants if not each.holds]
    if (after.final, after.slot) != wanted:
        now = f"{after.final or 'nothing known'} from slot {after.slot or 'unknown'}"
        broken.append(f"{before.final} ran from slot {before.slot}, then {now}")
    invariant = Invariant(name=name, holds=not broken, detail="; ".join(broken))
    return invariant, after.verdict if after.verdict.failed else Verdict.INCONSISTENT


def _problem(recording: Recording, board: Board, judge: Judge) -> str:
    before = judge.medium.selection()
    if problem := _install(recording, board, judge):
        return problem
    after = judge.medium.selection()
    if before is None or after is None or after.primary is not before.primary.other:
        return f"installed, but the boot selection went from {before} to {after}"
    offset, _ = recording.layout[after.primary.region]
    probe = recording.probe_slot
    if board.can.medium_read.sha256(offset, probe.size) != probe.sha256:
        return f"installed, but slot {after.primary} does not hold what was installed"
    return ""


def _install(recording: Recording, board: Board, judge: Judge) -> str:
    """Install it; why not, or nothing."""
    url = _url(recording, board, judge)
    if recording.old.product.device:
        installed = judge.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        return "" if installed.ok else f"{installed.message}: {installed.output[-1000:]}"
    # In one go, not as `Client.install` does it, which has to outlive its connection: seconds less.
    limit = DOWNLOAD_AND_INSTALL_SECONDS if recording.probe_version else _SECONDS
    result = board.run(f'gateway-update install "{url}" 2>&1', timeout=limit)
    return f"exit code {result.returncode}: {result.stdout[-1000:]}" if result.returncode else ""


def _url(recording: Recording, board: Board, judge: Judge) -> str:
    """From the server that the device was given: that it still knows it is part of the question.
    One that was given none yet is told."""
    known = f"$(cat {SERVER_FILE})"
    told = f"http://{board.addresses.host}:{recording.server_port}"
    is_known = judge.provisioned and judge.client.keeps_server
    return f"{known if is_known else told}/{recording.probe.name}"
