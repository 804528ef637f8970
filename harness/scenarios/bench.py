"""One worker's bench: a board with its update client, update server and proxy.

A scenario starts from "this release, booted, healthy, provisioned". The first time that state is
reached by flashing and booting; it is then saved (machine state and medium, the volatile cache
included) and restored for the following scenarios, which is as true as the boot it was made by. Of
a board whose machine state cannot be saved it is the medium only, and the board boots again. One
that cannot be saved at all is flashed anew each time.
"""

import http.client
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from harness.boards.board import Board
from harness.boards.capability import Capability, SavedState
from harness.clients.boot_selection import Slot
from harness.clients.client import Client, InstallResult
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.judge import provision
from harness.judge.identity import Identity
from harness.judge.inquiry import reaches_server, room
from harness.judge.judge import Judge
from harness.judge.provision import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.trouble import lab_trouble, muteness
from harness.judge.verdict import Invariant, Judgement
from harness.log import step
from harness.product.release import Release
from harness.updates.proxy import Proxy
from harness.updates.server import HEALTH, HEALTHY, UpdateServer

_REACH_SECONDS = 60.0  # for a network that comes up after the board is well


@dataclass(frozen=True, kw_only=True)
class Instant:
    """The instant of a power cut, before anything is lost."""

    state: SavedState
    target: Slot  # the slot that was being updated


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a crash state came to, for other scenarios that end in the very same state."""

    scenario: str
    judgement: Judgement
    invariants: tuple[Invariant, ...]


@dataclass(kw_only=True)
class Bench:
    """Everything a scenario uses; made once for each worker."""

    board: Board
    client: Client
    server: UpdateServer
    proxy: Proxy
    saved: dict[str, SavedState] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)  # of the device that runs; see `judge`
    identities: dict[str, Identity] = field(default_factory=dict)  # of the saved ones
    instants: dict[str, Instant] = field(default_factory=dict)
    judged: dict[object, Judged] = field(default_factory=dict)
    flashed: Release | None = None  # what the board was given last
    reached: bool = False  # whether a board was ever seen to reach the update server

    def calm(self) -> None:
        """Server and network as they should be, whatever the scenario before has left of them."""
        self.proxy.disarm()
        self.server.behave(None)
        self.server.be_ill(0)

    def boot_fresh(self, release: Release) -> None:
        """Flash `release`, boot it and provision it: update server, and data to be kept."""
        self.calm()
        self.flashed = release
        with step("boot-fresh", board=self.board.name, version=release.version):
            provision.boot_factory(self.board, self.client, release)
            self.hand_over()
            self.identity.become(Identity())
            self.identity.look(self.board, self.client.status(timeout=60), timeout=60)

    def hand_over(self) -> None:
        """Give a healthy board what its site gives it: update server, and data to be kept."""
        provision.provision(self.board, self.client, server_url=self.server_url)
        self._require_reached()

    def _require_reached(self) -> None:
        """LabError when no board here has ever reached the update server: without a way to it each
        good version would be left for the one before, and be blamed for that."""
        if self.reached or not self.client.keeps_server:
            return
        deadline = Deadline(_REACH_SECONDS)
        while not (answer := reaches_server(self.board)).holds:
            if deadline.over:
                raise LabError(
                    f"{self.board.name} does not reach the update server at {self.server_url}",
                    details=answer.detail,
                    hint="`listen` and `host_address` of the board (docs/add-a-board.md)",
                )
        self.reached = True

    def trouble(self, problem: str) -> LabError | None:
        """What to say instead of `problem`, when the bench may be at fault."""
        if trouble := lab_trouble(self.board, problem):
            return trouble
        if self.flashed and (trouble := muteness(self.board, self.flashed, problem)):
            return trouble
        self.calm()
        said = _asked(self.proxy.url())
        if said == HEALTHY:
            return None
        return LabError(f"the bench's update server does not answer: {said}", details=problem)

    def running(self, release: Release) -> None:
        """Bring the board to `release`, healthy and provisioned, from a saved state if there is."""
        self.calm()
        key = release.files["disk.img"].sha256
        if key not in self.saved:
            self.boot_fresh(release)
            if Capability.SAVE not in self.board.can:
                return
            self.saved[key] = self.board.can.save.save(f"running-{key[:12]}")
            self.identities[key] = replace(self.identity)
            return
        with step("restore", board=self.board.name, version=release.version):
            self.board.can.save.restore(self.saved[key])
            self.identity.become(self.identities[key])
            if not self.saved[key].running:
                self.board.power_on()
                self.client.await_health(timeout=BOOT_SECONDS)

    def judge(self, old: Release, new: Release, *, flashed: Release | None = None) -> Judge:
        """Judges an update from one version to another, of whatever device is on the bench: who it
        is has been known since it was provisioned. `flashed`: with what; none: with `old`."""
        return Judge(
            board=self.board,
            client=self.client,
            old=old,
            new=new,
            flashed=flashed or old,
            identity=self.identity,
        )

    @property
    def server_url(self) -> str:
        """The update server as the board reaches it: through the proxy."""
        return self.proxy.url(host=self.board.addresses.host)

    def offer(self, release: Release, artifact: Path | None = None) -> str:
        """Serve the release's update artifact (or another file in its name); returns the URL."""
        name = f"{release.slot.sha256[:12]}-{(artifact or release.artifact).name}"
        self.server.add(name, artifact or release.artifact)
        return self.proxy.url(name, host=self.board.addresses.host)

    def install(self, release: Release) -> InstallResult:
        """Install the release's update artifact to the end; does not reboot."""
        with step("install", board=self.board.name, version=release.version):
            return self.client.install(self.offer(release), timeout=DOWNLOAD_AND_INSTALL_SECONDS)

    def update(self, release: Release, judge: Judge, *, leave_off: bool = False) -> Judgement:
        """Install, reboot and judge (`leave_off`: see there); a refused install is a
        DeviceError."""
        result = self.install(release)
        if not result.ok:
            raise DeviceError(
                f"{self.board.name} refused {release.version}", details=result.output[-2000:]
            )
        return self.reboot(judge, leave_off=leave_off)

    def must(self, done: bool, why: str) -> None:
        """DeviceError unless what a scenario begins with was done."""
        if not done:
            raise DeviceError(f"{self.board.name} could not be prepared", details=why)

    def bring(self, new: Release, judge: Judge, *, kept: bool) -> None:
        """Install `new`; with `kept`, boot and commit it, too."""
        if kept:
            self.must(self.update(new, judge).final == "new", "did not keep the new version")
        else:
            self.must(self.install(new).ok, f"refused {new.version}")

    def reboot(self, judge: Judge, *, leave_off: bool = False) -> Judgement:
        """Ask the board to reboot and judge what comes up (`leave_off`: see there)."""
        boots = self.board.boots
        self.client.reboot(timeout=60)
        return judge.judge(boots_before=boots, leave_off=leave_off)

    def room(self) -> int:
        """Free bytes where the device's data lie; DeviceError when it does not say so."""
        return room(self.board, self.client.data_folder)

    def console_text(self, *, after: int = 0) -> str:
        """All that the board has said since it was flashed, in boots after that many."""
        logs = (path.read_bytes() for path in self.board.console_logs[after:])
        return b"".join(logs).decode(errors="replace")


def _asked(url: str) -> str:
    """What this host is told when it asks a server how it is; or why it is told nothing."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
