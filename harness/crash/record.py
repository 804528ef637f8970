"""Records one real update of a board, and one rollback, for everything that is to be proven of it.

The board goes straight to the update server, on a port that is kept in the recording: whoever boots
one of its crash states later serves there, too (`harness.crash.exploration.prove.serving`).
"""

import contextlib
import hashlib
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.boards.board import Board
from harness.boards.capability import RecordWrites
from harness.boards.lab import board_options, open_board
from harness.boards.lab_file import described
from harness.clients.client import Client
from harness.clients.registry import client_of
from harness.crash.exploration.again import Again
from harness.crash.recording import phases, probe
from harness.crash.recording.phases import Span
from harness.crash.recording.recording import (
    CONSOLE,
    EVENTS,
    LOG,
    RecordedOutcome,
    Recording,
    keep_consoles,
    own_files,
)
from harness.errors import ConfigurationError, DeviceError, LabError
from harness.judge import provision
from harness.judge.health import ROLLED_BACK
from harness.judge.identity import Identity
from harness.judge.judge import Judge
from harness.judge.provision import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS
from harness.log import json_lines, step
from harness.medium import replay
from harness.medium.files import copy_file
from harness.medium.log import LogReader
from harness.medium.model import Loss, LossKind
from harness.product import release as releases
from harness.product.release import Digest, Release
from harness.updates.server import UpdateServer

_SHORT = 60.0  # seconds
_POWER_OFF_SECONDS = 120.0
_DOWN = r"reboot: (Power down|System halted|Power off not available)"  # Linux, kernel/reboot.c
_PORTS = range(20000, 32768)  # below the ports that kernels hand out (ip_local_port_range)
_NOTHING_KEPT = Loss(kind=LossKind.NONE)
_HOUR = timedelta(hours=1)
# Seconds: Linux writes back what is 30 s old, and looks every 5 (admin-guide/sysctl/vm.rst).
_WRITEBACK = 40.0


def record(
    release: Path,
    from_release: Path,
    *,
    board: str,
    lab: Path,
    output: Path,
    bad: Path | None = None,
    newer: Path | None = None,
    like: Path | None = None,
) -> Recording:
    """Record the update from `from_release` to `release` on a board of a lab, into `output`, and a
    rollback: of `bad`, a version whose health check fails, or of `release` without a network.
    `newer`: a version whose own update is the probe, see `probe.make`. `like`: a recording whose
    device it is to be, and whose probe, instead of a new one.

    ConfigurationError for releases or a board that do not fit together, or an output folder that
    is not empty; DeviceError when the update or the rollback does not reach its end: nothing can
    be proven with that. What there is of it then stays in `output`.partial.
    """
    new, old = releases.load(release.resolve()), releases.load(from_release.resolve())
    worse = releases.load(bad.resolve()) if bad else None
    other = releases.load(newer.resolve()) if newer else None
    _require_fit(old, new, board, lab, output)
    more = [each for each in (worse, other) if each]
    for each in more:
        _require_fit(new, each, board, lab, output)
    with step("verify", releases=[each.version for each in (old, new, *more)]):
        for each in (old, new, *more):
            each.verify()
    again = Again(Recording.load(like), old, board) if like else None
    if not again:
        probe.require(old, new, other)  # now, and not when all has been recorded
    elif other:
        raise ConfigurationError(
            f"--newer {newer}: with --like it is the probe of {like} that is installed",
            hint="leave out one of the two",
        )
    else:
        other = again.newer
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with json_lines(partial / EVENTS), _opened(lab, board, again) as session:
        session.record(old, new, partial, bad=worse, newer=other)
    partial.rename(output)
    return Recording.load(output)


def _require_fit(old: Release, new: Release, board: str, lab: Path, output: Path) -> None:
    if old.machine != new.machine:
        raise ConfigurationError(
            f"{new.folder} is for {new.machine}, {old.folder} for {old.machine}",
            hint="record an update between two releases of one machine",
        )
    if old.slot == new.slot:
        raise ConfigurationError(
            f"{new.folder} and {old.folder} have the same slot: nothing would be updated",
            hint="build another version",
        )
    machine = board_options(lab).get(board, {}).get("machine", old.machine)
    if machine != old.machine:  # a board that the lab has not got is refused when it is opened
        raise ConfigurationError(
            f"{board} is a {machine}, the releases are for {old.machine}",
            hint="harness status shows the boards and their machines",
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigurationError(f"{output}: exists and is not empty", hint="name a new folder")


@dataclass(kw_only=True)
class Session:
    """A board and its update server while they are recorded."""

    board: Board
    lab: Path
    server: UpdateServer
    again: Again | None = None
    make_probe: Callable[[Release, Path, Release | None], Digest] = probe.make
    outcomes: list[RecordedOutcome] = field(default_factory=list)
    identity: Identity = field(default_factory=Identity)

    def __post_init__(self) -> None:
        if self.again:
            self.make_probe, self.identity = self.again.take_probe, self.again.identity

    @property
    def _log(self) -> RecordWrites:
        """All that the board writes; LabError for one that is not logged."""
        return self.board.can.record

    def record(
        self,
        old: Release,
        new: Release,
        folder: Path,
        *,
        bad: Release | None = None,
        newer: Release | None = None,
    ) -> Recording:
        """All of it, into `folder`, which is then a recording; errors as in `record`."""
        client = client_of(old.product, self.board)
        judge = Judge(
            board=self.board,
            client=client,
            old=old,
            new=new,
            flashed=old,
            bad=bad,
            identity=self.identity,
        )
        try:
            if self.again:
                self.again.put_on(self.board)
            else:
                self._provision(client, judge)
            self._update(client, judge)
            self._roll_back(client, judge, bad)
        finally:
            keep_consoles(self.board, folder / CONSOLE)
        self._log.mark(phases.END)
        self.board.power_off()
        with step("save", folder=str(folder)):
            if self.again:
                self.again.keep_log(self.board, folder / LOG)
            else:
                copy_file(self._log.write_log, folder / LOG)
            self._verify(old, folder)
            return self._save(old, new, folder, bad=bad, newer=newer)

    def _provision(self, client: Client, judge: Judge) -> None:
        """The first boot, as the factory does it, then what a site gives the device."""
        with step("factory", board=self.board.name, version=judge.old.version):
            provision.boot_factory(self.board, client, judge.old)
        self._log.mark(phases.PROVISION)
        with step("provision", board=self.board.name):
            provision.provision(self.board, client, server_url=self._url())
            judge.identity.look(self.board, client.status(timeout=_SHORT), timeout=_SHORT)
            self._switch_off(client)

    def _update(self, client: Client, judge: Judge) -> None:
        self._log.mark(phases.START)
        with step("boot-old", version=judge.old.version):
            self.board.power_on()
            client.await_health(timeout=BOOT_SECONDS)
        self._install(client, judge.new)
        with step("boot-new", version=judge.new.version):
            boots = self._reboot(client)
            if judge.new.product.device:  # it can be asked again: not a second later than need be
                self.board.wait_boots(boots + 1, timeout=BOOT_SECONDS)
                client.await_health(BOOT_SECONDS, boot=boots + 1)
                self._log.mark(phases.HEALTHY)
                self._linger(judge.new)
                self._judge("update", judge, boots)
            else:
                self._judge("update", judge, boots)
                self._log.mark(phases.HEALTHY)

    def _linger(self, release: Release) -> None:
        """What was acknowledged may still be on its way where the boot selection is a file: a file
        system writes back late."""
        if not release.product.selection:
            return
        with contextlib.suppress(DeviceError):  # nothing comes: that is what is waited for
            self.board.wait_boots(self.board.boots + 1, timeout=_WRITEBACK)

    def _roll_back(self, client: Client, judge: Judge, bad: Release | None) -> None:
        """Install a version into the slot of the old one, too, so that now the new version's own
        client writes a slot that changes; its trial fails: the version is bad, or (the new one
        again) there is no network."""
        tried = bad or judge.new
        if judge.old.product.device and not bad:
            return  # nobody knows what makes such a product leave a good version
        self._install(client, tried)
        with step("rollback", version=tried.version):
            boots = self._reboot(client)
            if judge.old.product.device:
                self._judge("rollback", judge, boots)
                return
            self.board.can.link(up=bad is not None)
            try:
                # A trial without a network is given all the time that a trial has.
                limit = BOOT_SECONDS + judge.limits.boot_seconds
                line = (
                    self.board.expect(ROLLED_BACK, timeout=limit)
                    if judge.repeats
                    else client.await_health(limit)
                )
            finally:
                self.board.can.link(up=True)
            if "rolled back" not in line:
                why = f"of {tried.version}" if bad else "without a network"
                raise DeviceError(
                    f"{self.board.name}: the trial {why} was not rolled back",
                    details=line,
                    hint="only an update that works can be recorded",
                )
            self._judge("rollback", judge, boots)

    def _install(self, client: Client, release: Release) -> None:
        name = f"{release.version}-{release.artifact_name}"
        self.server.add(name, release.artifact)
        with step("install", version=release.version):
            self._log.mark(phases.INSTALL)
            result = client.install(self._url(name), timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        if not result.ok:
            raise DeviceError(
                f"{self.board.name} refused {release.version}", details=result.output[-2000:]
            )
        self._log.mark(phases.INSTALLED)
        self._linger(release)

    def _reboot(self, client: Client) -> int:
        """Ask for a reboot; returns the number of boots before it."""
        self._log.mark(phases.REBOOT)
        boots = self.board.boots
        client.reboot(timeout=_SHORT)
        return boots

    def _judge(self, name: str, judge: Judge, boots_before: int) -> None:
        """The new version must run in the end, after the update as after the rollback. That it is
        broken otherwise is kept, not refused: a bad version can be recorded, too."""
        found = judge.judge(boots_before=boots_before)
        broken = tuple(invariant for invariant in found.invariants if not invariant.holds)
        if found.final != "new":
            raise DeviceError(
                f"{self.board.name}: the {name} ended with {found.final or 'nothing known'}"
                f" ({found.verdict}), not with {judge.new.version}",
                details="\n".join(f"{each.name}: {each.detail}" for each in broken),
                hint="only an update that works can be recorded",
            )
        self.outcomes.append(
            RecordedOutcome(name=name, verdict=found.verdict, final=found.final, broken=broken)
        )

    def _switch_off(self, client: Client) -> None:
        """Shut the board down in order: nothing is left in its medium's cache. Not every board can
        take its own power away, but the kernel says when it has nothing left to do."""
        client.switch_off(timeout=_SHORT)
        self.board.expect(_DOWN, timeout=_POWER_OFF_SECONDS)
        unflushed = self.board.can.choose_loss.cut(_NOTHING_KEPT).unflushed
        if unflushed:
            raise DeviceError(f"{self.board.name} went off with {unflushed} writes not flushed")

    def _url(self, name: str = "") -> str:
        """The update server, or a file on it, as the board reaches it."""
        return f"http://{self.board.addresses.host}:{self.server.port}/{name}".rstrip("/")

    def _verify(self, old: Release, folder: Path) -> None:
        """Base and log must make the very content that the board leaves behind."""
        content = folder / "content.img"
        try:
            with LogReader(folder / LOG) as log:
                records = sum(1 for _ in log.records())
            replay.replay(old.disk_image, folder / LOG, records, content)
            with content.open("rb") as stream:
                replayed = hashlib.file_digest(stream, "sha256").hexdigest()
            if replayed != self.board.can.medium_read.sha256(0, content.stat().st_size):
                raise LabError(
                    f"{folder / LOG}: base and log do not make the medium's content",
                    hint="the write log is wrong: report it, with the recording",
                )
        finally:
            content.unlink(missing_ok=True)

    def _save(
        self,
        old: Release,
        new: Release,
        folder: Path,
        *,
        bad: Release | None,
        newer: Release | None,
    ) -> Recording:
        with LogReader(folder / LOG) as log:
            model = log.origin.model
        span: Span = phases.find(folder / LOG, old.layout)
        digest = old.files["disk.img"].sha256
        probe_slot = self.make_probe(old, folder, newer)  # before the files are hashed
        recording = Recording(
            folder=folder,
            machine=old.machine,
            board=self.board.name,
            model=model,
            lab=self.lab.resolve(),
            bench=described(self.lab, self.board.name),
            old=old,
            new=new,
            bad=bad,
            newer=newer,
            files=own_files(folder),
            start=span.start,
            end=span.end,
            phases=span.phases,
            server_port=self.server.port,
            clock=self._clock(),
            seed=int(digest[:8], 16) or 1,
            outcomes=tuple(self.outcomes),
            probe_slot=probe_slot,
            identity=self.identity,
            accelerator=self._log.accelerator,
        )
        recording.save()
        return recording

    def _clock(self) -> datetime:
        """Later than anything that was recorded: no file and no mount comes from the future."""
        if self.again:
            return self.again.clock(self.board.boots)
        return datetime.now(UTC).replace(microsecond=0) + _HOUR


@contextlib.contextmanager
def _opened(lab: Path, board: str, again: Again | None) -> Iterator[Session]:
    with open_board(lab, board) as opened:
        listen = opened.addresses.listen
        port = again.port if again else _free_port(listen)
        with UpdateServer(port, listen=listen) as server:
            yield Session(board=opened, lab=lab, server=server, again=again)


def _free_port(listen: str) -> int:
    """A port that nobody has now, and that no connection will be given later."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((listen, port))
            return port
    raise LabError(
        f"no free port for the update server in {_PORTS[0]}-{_PORTS[-1]} of {listen}",
        hint="options.listen in the lab file must be an address of this host",
    )
