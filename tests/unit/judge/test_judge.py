"""The judge against a board made of bytes: each invariant is seen to fail, alone."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness import deadline
from harness.boards.board import Board, CommandResult
from harness.boards.capability import Capability
from harness.boards.share import Share
from harness.builders.debian.bootloaders.grub import environment_block
from harness.clients.boot_selection import BootSelection, Slot
from harness.clients.client import Client, DeviceStatus
from harness.clients.gateway import GatewayClient
from harness.clients.grub_environment import parse as parse_environment_block
from harness.errors import DeviceError, IdentityChanged, LabError
from harness.judge.health import Budget
from harness.judge.identity import Identity
from harness.judge.inspection import Inspection
from harness.judge.judge import Judge
from harness.judge.sentinel import asked, changed, sentinel, written
from harness.judge.verdict import Judgement, NotChecked, Verdict
from harness.product.layout import Region
from harness.product.product import Product
from harness.product.profile import DeviceCommands
from harness.product.promises import MOST_ATTEMPTS, Promises
from harness.product.release import Digest, Release
from tests.unit.boards.fake import FakeBoard
from tests.unit.builders.samples import built
from tests.unit.judge.site_data import untouched

OLD, NEW = b"old version " * 8, b"new version!" * 8
LAYOUT = {
    "boot-selection-1": Region(0, 512),
    "boot-selection-2": Region(512, 512),
    "slot-A": Region(1024, 96),
    "slot-B": Region(2048, 96),
}
PROMISES = Promises()


def release(version: str, content: bytes, promises: Promises = PROMISES) -> Release:
    return Release(
        folder=Path(),
        machine="fake",
        version=version,
        variants=(),
        product=Product(client="fake", bootloader="grub", compatible="fake", promises=promises),
        built=built(),
        slot=Digest(sha256=hashlib.sha256(content).hexdigest(), size=len(content)),
        artifact_name="update",
        layout=LAYOUT,
        files={},
    )


UNITS = """\
dev-sda.device loaded active plugged QEMU_HARDDISK
ssh.service loaded active running OpenBSD Secure Shell server
gateway-data.service loaded active exited Data partition

Id=ssh.service
NRestarts=0
SubState=running
WantedBy=multi-user.target
RequiredBy=

NRestarts=7
Id=serial-getty@ttyS0.service
SubState=running
RequiredBy=
WantedBy=getty.target

Id=systemd-hostnamed.service
NRestarts=0
SubState=running
RequiredBy=
WantedBy=

Id=modem.service
NRestarts=3
SubState=auto-restart
RequiredBy=
WantedBy=multi-user.target

Id=gateway-data.service
NRestarts=0
SubState=exited
RequiredBy=
WantedBy=local-fs.target
"""
WELL = UNITS.replace("=auto-restart", "=running")
FAILED = WELL.replace("gateway-data.service loaded active exited", "keep.path loaded failed failed")


@dataclass
class Talking(FakeBoard):
    """Every boot says one line on its console; `says[n]` is what boot n + 1 says, or silence."""

    says: list[str]
    block: bytes = field(default_factory=lambda: environment_block(order="B A"))
    name: str = "fake"
    boots: int = 1
    kept: str = ""
    reachable: bool = True
    resets_when_asked: int = 0
    key: str = "ssh-ed25519 AAAA"
    pinned: str = ""  # by an earlier connection
    server: str = "ok\n"
    got: Share = field(default_factory=Share)
    is_on: bool = True
    read_while_on: bool = False
    units: str = UNITS
    after_a_while: str = WELL  # what systemd says once it was waited for
    resets_meanwhile: int = 0
    root: str = "4\n"  # where its root file system begins, in sectors

    def __post_init__(self) -> None:
        self.medium = bytearray(4096)
        self.write("boot-selection-1", self.block)
        self.write("boot-selection-2", self.block)
        self.write("slot-A", OLD)
        self.write("slot-B", NEW)
        self.kept = self.kept or untouched()

    def write(self, region: str, content: bytes) -> None:
        offset = LAYOUT[region].offset
        self.medium[offset : offset + len(content)] = content

    def expect(self, pattern: str, timeout: float) -> str:
        line = self.says[self.boots - 1] if self.boots <= len(self.says) else "reset"
        found = re.search(pattern, line)
        if line == "reset" or "rolled back" in line:
            self.boots += 1
        if found:
            return found[0]
        raise DeviceError("silence")

    def power_on(self) -> None:
        self.is_on, self.boots = True, self.boots + 1

    def read(self, offset: int, length: int) -> bytes:
        self.read_while_on |= self.is_on
        return bytes(self.medium[offset : offset + length])

    def run(self, command: str, *, timeout: float) -> CommandResult:
        assert self.is_on
        if command == "sync":
            return CommandResult(stdout="", stderr="", returncode=0)
        if "list-units" in command:
            return CommandResult(stdout=self.units, stderr="", returncode=0)
        if "mountinfo" in command:
            return CommandResult(stdout=self.root, stderr="", returncode=0)
        if "curl" in command:
            return CommandResult(
                stdout=self.server, stderr="", returncode=0 if self.reachable else 7
            )
        self.boots += self.resets_when_asked
        return CommandResult(stdout=self.kept, stderr="", returncode=0)

    def wait_boots(self, count: int, timeout: float) -> None:
        self.units = self.after_a_while
        self.boots += self.resets_meanwhile
        if self.boots < count:
            raise DeviceError("no boot")

    def host_key(self, *, timeout: float) -> str:
        if self.pinned and self.pinned != self.key:
            raise IdentityChanged("ssh: the board's host key is not the one it had before")
        return self.key

    def share(self) -> Share:
        return self.got


@dataclass
class FakeClient:
    board: Talking
    version: str = "2"
    slot: Slot = Slot.B
    health: str = "ok"
    selection: bytes = b""
    silent: bool = False
    device_id: str = "gw-1"
    data_folder: str = GatewayClient.data_folder
    keeps_server: bool = True

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        return GatewayClient(cast(Board, self.board)).await_health(timeout, boot=boot)

    def status(self, timeout: float) -> DeviceStatus:
        if self.silent:
            raise DeviceError("no SSH")
        said = parse_environment_block(self.selection or self.board.block, MOST_ATTEMPTS)
        return DeviceStatus(
            version=self.version,
            variants=(),
            slot=self.slot,
            boot_selection=cast(BootSelection, said),
            health=self.health,
            update_server="",
            device_id=self.device_id,
        )


def judge_of(board: Talking, client: FakeClient | None = None) -> Judge:
    return Judge(
        board=board,
        client=cast(Client, client or FakeClient(board)),
        old=release("1", OLD),
        new=release("2", NEW),
        flashed=release("1", OLD),
        budget=Budget(boots=3, boot_seconds=0.0),
        identity=Identity(host_key="ssh-ed25519 AAAA", device_id="gw-1"),
    )


def judged(board: Talking, client: FakeClient | None = None, *, before: int = 0) -> Judgement:
    return judge_of(board, client).judge(boots_before=before)


def broken(judgement: Judgement) -> set[str]:
    return {invariant.name for invariant in judgement.invariants if not invariant.holds}


HEALTHY = ["gateway-health: slot B: ok"]


def test_the_new_version_in_its_first_boot() -> None:
    found = judged(Talking(HEALTHY))
    assert (found.verdict, found.final, found.boots, broken(found)) == ("new", "new", 1, set())


def outside(board: Talking) -> Judgement:
    """The same of a device that is driven by commands, which say that the new version runs in B."""
    judge = judge_of(board)
    commands = DeviceCommands(version="cat /version", install="get {url}", well="true")
    product = replace(judge.flashed.product, device=commands)
    return replace(judge, flashed=replace(judge.flashed, product=product)).judge(boots_before=0)


def test_what_a_profile_says_is_held_against_the_kernel() -> None:
    """Both version and slot can be what was planned, and another slot what runs."""
    assert (outside(Talking(HEALTHY)).verdict, broken(outside(Talking(HEALTHY)))) == ("new", set())
    found = outside(Talking(HEALTHY, root="2\n"))
    assert (found.verdict, broken(found)) == ("inconsistent", {"runs-from-slot"})
    found = outside(Talking(HEALTHY, root=""))
    assert found.verdict == "new"
    assert "runs-from-slot" in {each.name for each in found.not_checked}


def test_the_old_version_after_a_rollback_is_recovered() -> None:
    block = environment_block(states=("good", "bad"))
    board = Talking(
        ["gateway-health: slot B: rolled back: why", "gateway-health: slot A: ok"], block=block
    )
    board.write("slot-B", b"half")
    found = judged(board, FakeClient(board, version="1", slot=Slot.A))
    assert (found.verdict, found.final, found.boots) == (Verdict.RECOVERED, "old", 2)


@pytest.mark.parametrize("left", [0, 3])
def test_a_bad_version_may_stay_selectable_only_without_an_attempt(left: int) -> None:
    block = environment_block(order="B A").replace(b"A_left=3", b"A_left=%d" % left)
    board = Talking(HEALTHY, block=block)
    board.write("slot-A", b"B" * len(OLD))
    judge = replace(judge_of(board), bad=release("3", b"B" * len(OLD)))
    found = judge.judge(boots_before=0)
    assert broken(found) == ({"selectable-slots-known"} if left else set())


def test_out_of_boots_is_bricked() -> None:
    found = judged(Talking(["reset"] * 9))
    assert (found.verdict, found.boots) == (Verdict.BRICKED, 4)


def test_silence_is_bricked() -> None:
    assert judged(Talking(["nothing to see"])).verdict is Verdict.BRICKED


def test_healthy_on_the_console_only_is_inconsistent() -> None:
    board = Talking(HEALTHY)
    found = judged(board, FakeClient(board, silent=True))
    assert (found.verdict, broken(found)) == (Verdict.INCONSISTENT, {"reachable"})


def test_health_without_a_boot_is_no_verdict() -> None:
    with pytest.raises(LabError, match="without a boot"):
        judged(Talking(HEALTHY), before=1)


Damage = Callable[[Talking, FakeClient], object]
TORN = environment_block(order="B A").replace(b"gen_tail=00000001", b"gen_tail=00000002")
WORN = environment_block(order="B A").replace(b"B_left=3", b"B_left=2")


def wear(board: Talking, client: FakeClient) -> None:
    board.write("boot-selection-1", WORN)
    board.write("boot-selection-2", WORN)
    client.selection = WORN


DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    "unknown version": (
        lambda board, client: setattr(client, "version", "3"),
        {"version-known", "slot-content"},
    ),
    "one byte of the running slot": (
        lambda board, client: board.write("slot-B", b"N"),
        {"slot-content", "selectable-slots-known"},
    ),
    "one byte of the other slot": (
        lambda board, client: board.write("slot-A", b"O"),
        {"selectable-slots-known"},
    ),
    "the other slot is selected": (
        lambda board, client: setattr(client, "slot", Slot.A),
        {"slot-content", "boot-selection"},
    ),
    "copy 2 torn": (
        lambda board, client: board.write("boot-selection-2", TORN),
        {"boot-selection-redundant"},
    ),
    "the device reads another selection": (
        lambda board, client: setattr(client, "selection", environment_block()),
        {"boot-selection-agrees"},
    ),
    "attempts not given back": (wear, {"attempts-restored"}),
    "data lost": (lambda board, client: setattr(board, "kept", "gone"), {"data-unchanged"}),
    "degraded": (lambda board, client: setattr(client, "health", "degraded"), {"healthy"}),
    "no way to the server": (
        lambda board, client: setattr(board, "reachable", False),
        {"update-server-reachable"},
    ),
    "another host key": (lambda board, client: setattr(board, "key", "ssh-rsa B"), {"identity"}),
    "a host key that was not pinned": (
        lambda board, client: setattr(board, "pinned", "ssh-ed25519 BBBB"),
        {"identity"},
    ),
    "another device id": (lambda board, client: setattr(client, "device_id", "gw-2"), {"identity"}),
    "no device id any more": (lambda board, client: setattr(client, "device_id", ""), {"identity"}),
    "a unit that has failed": (
        lambda board, client: setattr(board, "units", FAILED),
        {"no-failed-units"},
    ),
    "resets after its health": (
        lambda board, client: setattr(board, "resets_when_asked", 1),
        {"stayed-up"},
    ),
}


def test_who_installs_an_update_afterwards_need_not_ask_for_the_server() -> None:
    board = Talking(HEALTHY, reachable=False)
    found = Judge(
        board=board,
        client=cast(Client, FakeClient(board)),
        old=release("1", OLD),
        new=release("2", NEW),
        flashed=release("1", OLD),
        asks_server=False,
    ).judge(boots_before=0)
    assert (found.verdict, broken(found)) == ("new", set())
    assert "update-server-reachable" not in {each.name for each in found.invariants}


def test_an_identity_that_is_not_known_is_learned_at_the_first_look() -> None:
    board = Talking([*HEALTHY, *HEALTHY])
    judge = Judge(
        board=board,
        client=cast(Client, FakeClient(board)),
        old=release("1", OLD),
        new=release("2", NEW),
        flashed=release("1", OLD),
    )
    assert broken(judge.judge(boots_before=0)) == set()
    assert judge.identity == Identity(host_key="ssh-ed25519 AAAA", device_id="gw-1")
    board.boots, board.key = 2, "ssh-ed25519 BBBB"
    assert broken(judge.judge(boots_before=1)) == {"identity"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_invariant_fails_alone(damage: str) -> None:
    board = Talking(HEALTHY)
    client = FakeClient(board)
    do, expected = DAMAGES[damage]
    do(board, client)
    found = judged(board, client)
    assert (found.verdict, broken(found)) == (Verdict.INCONSISTENT, expected)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"after_a_while": UNITS}, "modem.service has ended and waits to be restarted"),
        ({"after_a_while": WELL.replace("Id=ssh.", "Id=cron.")}, "ssh.service does not run any"),
        ({"after_a_while": WELL.replace("=running", "=dead", 1)}, "ssh.service does not run any"),
        # Who asks for the name of the host starts it, and it ends when nobody does any more.
        ({"after_a_while": WELL.replace("Id=systemd-hostnamed", "Id=x")}, ""),
        (
            {"after_a_while": WELL.replace("NRestarts=3", "NRestarts=4")},
            "modem.service was restart",
        ),
        ({}, ""),
        ({"after_a_while": WELL.replace("NRestarts=0", "NRestarts=2")}, "restarted 2 times"),
        ({"after_a_while": WELL.replace("NRestarts=7", "NRestarts=8")}, ""),  # a login's end
        ({"after_a_while": FAILED}, "keep.path has failed"),
        ({"resets_meanwhile": 1}, "it has reset itself"),
    ],
)
def test_a_version_that_was_well_is_watched_for_a_while(changes: dict[str, Any], told: str) -> None:
    found = judge_of(Talking(HEALTHY, **changes)).stays_well()
    assert found.holds == (not told)
    assert told in found.detail


def test_health_that_is_lost_meanwhile_is_told() -> None:
    board = Talking(HEALTHY)
    found = judge_of(board, FakeClient(board, health="degraded: why")).stays_well()
    assert (found.holds, found.detail) == (False, "degraded: why")


WATCHED = WELL.replace("Id=ssh.service\n", "Id=ssh.service\nWatchdogUSec=3min\n")


@pytest.mark.parametrize(
    ("dwell", "units", "told"),
    [
        (75, WATCHED, "ssh.service has a watchdog of 180 s, and is watched for 75 s only"),
        (194, WATCHED, "promise a dwell of 195"),
        (195, WATCHED, ""),
        (75, WATCHED.replace("3min", "1min"), ""),
        (75, WATCHED.replace("3min", "1min 500ms"), "of 60.5 s"),
        (75, WATCHED.replace("3min", "infinity").replace("Usec=0", ""), ""),
        (75, WATCHED.replace("Id=ssh.service", "Id=systemd-journald.service"), ""),
    ],
)
def test_what_dies_later_is_waited_for(dwell: int, units: str, told: str) -> None:
    """Killed every 180 s by its watchdog, a service outlived a dwell of 75 s each time."""
    judge = judge_of(Talking(HEALTHY, units=units, after_a_while=units))
    promises = replace(PROMISES, dwell=dwell)
    new = replace(judge.new, product=replace(judge.new.product, promises=promises))
    found = replace(judge, new=new).stays_well()
    assert found.holds == (not told), found.detail
    assert told in found.detail


ENDED = WELL.replace("Id=ssh.service\nNRestarts=0\nSubState=running", "{}")


@pytest.mark.parametrize(
    ("later", "ends", "told"),
    [
        ("Id=ssh.service\nNRestarts=0\nSubState=dead\nResult=success", True, ""),
        ("Id=ssh.service\nNRestarts=9\nSubState=auto-restart\nResult=success", True, ""),
        ("Id=ssh.service\nNRestarts=9\nSubState=running\nResult=success", True, ""),
        ("Id=ssh.service\nNRestarts=9\nSubState=auto-restart\nResult=exit-code", True, "9 times"),
        ("Id=ssh.service\nNRestarts=0\nSubState=dead\nResult=watchdog", True, "does not run"),
        ("Id=ssh.service\nNRestarts=0\nSubState=dead\nResult=success", False, "does not run"),
    ],
)
def test_what_may_end_is_the_products_to_say(later: str, ends: bool, told: str) -> None:
    judge = judge_of(Talking(HEALTHY, units=WELL, after_a_while=ENDED.replace("{}", later)))
    promises = replace(PROMISES, ends=("ssh.service",) if ends else ())
    old = replace(judge.old, product=replace(judge.old.product, promises=promises))
    found = replace(judge, old=old).stays_well()
    assert found.holds == (not told), found.detail
    assert told in found.detail


DEAD = WELL.replace("Id=ssh.service\nNRestarts=0\nSubState=running", "Id=ssh.service\n{}")


@pytest.mark.parametrize(
    ("shown", "ends", "told"),
    [
        ("SubState=dead\nType=simple\nExecMainStartTimestampMonotonic=7", False, "does not run"),
        ("SubState=dead\nType=notify\nExecMainStartTimestampMonotonic=7", False, "does not run"),
        (
            "SubState=dead\nType=simple\nExecMainStartTimestampMonotonic=7\nResult=success",
            True,
            "",
        ),
        ("SubState=dead\nType=oneshot\nExecMainStartTimestampMonotonic=7", False, ""),
        (
            "SubState=dead\nType=simple\nExecMainStartTimestampMonotonic=0",
            False,
            "",
        ),  # no condition
        ("SubState=exited\nType=forking\nExecMainStartTimestampMonotonic=7", False, ""),
        ("SubState=dead\nType=simple", False, ""),  # a systemd that does not say it
    ],
)
def test_what_ended_before_it_was_first_looked_at(shown: str, ends: bool, told: str) -> None:
    """A product's main service ended in good order 2 s after its start: it did not run at the first
    look, nor at the second, and nobody missed it."""
    units = DEAD.replace("{}", shown)
    judge = judge_of(Talking(HEALTHY, units=units, after_a_while=units))
    promises = replace(PROMISES, ends=("ssh.service",) if ends else ())
    new = replace(judge.new, product=replace(judge.new.product, promises=promises))
    found = replace(judge, new=new).stays_well()
    assert found.holds == (not told), found.detail
    assert told in found.detail


def test_what_a_timer_calls_may_end() -> None:
    shown = "SubState=dead\nType=simple\nExecMainStartTimestampMonotonic=7"
    units = DEAD.replace("{}", shown).replace("WantedBy=multi-user.target", "WantedBy=", 1)
    assert judge_of(Talking(HEALTHY, units=units, after_a_while=units)).stays_well().holds


def test_what_runs_is_looked_at_as_soon_as_it_is_well() -> None:
    """What ends while the medium is read was never seen to run."""
    board = Talking(HEALTHY, units=WELL, after_a_while=WELL)
    found = judged(board)
    board.units = board.after_a_while = WELL.replace("=running", "=dead", 1)
    assert judge_of(board).stays_well().holds  # nobody knows
    told = judge_of(board).stays_well(found.services)
    assert told.detail == "ssh.service does not run any more"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("-rw------- 1 0 0 65536 Jan  1 00:00 1.bin", "-rw-r--r-- 1 0 0 65536 Jan  1 00:00 1.bin"),
        ("1000 1001 65536 Jan  1 00:00 2.bin", "0 0 65536 Jan  1 00:00 2.bin"),
        ("drwxr-x--- 1 1000", "drwxr-x--- 1 0"),
        ("-r-------- 1 1000 1000 65536 Jan  1 00:00 .hidden\n", ""),
        ("  site/4.bin", "  site/5.bin"),
    ],
)
def test_owners_modes_and_what_is_hidden_are_the_sites_own(was: str, now: str) -> None:
    assert was in untouched()
    board = Talking(HEALTHY, kept=untouched().replace(was, now))
    found = {each.name: each for each in judged(board).invariants}["data-unchanged"]
    assert not found.holds and " was " in found.detail


def test_a_sites_data_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """By real programs, on a real file system."""
    for name, each in sentinel().items():
        if each.content is None:
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(each.content)
    for command in (written(str(tmp_path)), f"chmod 600 {tmp_path}/3.bin"):
        subprocess.run(["sh", "-c", command], check=True)
        said = subprocess.run(
            ["sh", "-c", asked(str(tmp_path))],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert bool(changed(said)) == command.startswith("chmod 600"), said
    (tmp_path / "site" / ".hidden").unlink()


def test_where_things_are_is_said_by_what_was_flashed() -> None:
    """A later version may have been built with other slots; the disk has those it was made with."""
    board = Talking(HEALTHY)
    moved = {name: Region(at + 4096, size) for name, (at, size) in LAYOUT.items()}
    judge = judge_of(board)
    other = replace(judge, new=replace(judge.new, layout=moved), old=judge.new)
    assert other.medium.content(Slot.B) == "old"
    again = replace(judge, old=replace(judge.old, layout=moved))
    assert again.medium.content(Slot.B) == "new"


STARVED = Share(ran=100, waited=110)


@pytest.mark.parametrize(("share", "told"), [(STARVED, False), (Share(ran=100, waited=20), True)])
@pytest.mark.parametrize("silent", [True, False])
def test_a_board_that_got_no_time_has_not_failed(share: Share, told: bool, silent: bool) -> None:
    """Neither one that says nothing nor one that does not answer: that may be the host's fault."""
    board = Talking(says=["gateway-health: slot B: ok"] if silent else ["nothing"] * 9, got=share)
    client = FakeClient(board, silent=silent)
    if told:
        assert judged(board, client).verdict.failed
        return
    with pytest.raises(
        LabError, match="too busy to tell: it had a CPU for 100 s, and waited 110 s"
    ):
        judged(board, client)


@pytest.mark.parametrize(
    ("said", "changed", "live", "told"),
    [
        ("", "", False, False),
        ("\0\xff", "", False, False),  # as a wire does when the power comes
        ("boot selection: slot A\r\n", "", False, True),
        ("", "boot", False, True),  # its bootloader has been changed: nobody but the product did
        ("", "start", False, True),
        ("", "", True, True),  # QEMU's: there is no wire
    ],
)
def test_a_board_that_says_nothing_at_all_and_whose_bootloader_is_there_has_not_failed(
    tmp_path: Path, said: str, changed: str, live: bool, told: bool
) -> None:
    layout = {name: Region(at + 1024, size) for name, (at, size) in LAYOUT.items()}
    layout["boot"] = Region(3500, 100)
    log = tmp_path / "boot-1.log"

    class Logged(Talking):
        @property
        def console_logs(self) -> list[Path]:
            return [log]

    board = Logged(says=["nothing"] * 9)
    board.live = live
    (tmp_path / "disk.img").write_bytes(board.medium)
    log.write_text(said)
    if changed:
        board.medium[{"boot": 3550, "start": 1000}[changed]] ^= 1
    flashed = replace(release("1", OLD), layout=layout, folder=tmp_path)
    judge = replace(judge_of(board), flashed=flashed)
    if told:
        assert judge.judge(boots_before=0).verdict is Verdict.BRICKED
        return
    with pytest.raises(LabError, match="has said nothing at all in boot 1"):
        judge.judge(boots_before=0)
    assert not board.is_on


def test_nobody_tells_what_a_virtual_board_got_and_nobody_judges_it() -> None:
    class Untold(Talking):
        def share(self) -> Share:
            raise LabError("nobody says what it got")

    with pytest.raises(LabError, match="nobody says what it got"):
        judged(Untold(says=["nothing"] * 9))
    assert judged(Untold(HEALTHY)).verdict is Verdict.NEW  # what is well is well


def test_what_a_starved_board_holds_is_held_against_it() -> None:
    """Control: what is on its medium does not get there by being slow."""
    board = Talking(says=["gateway-health: slot B: ok"], got=STARVED)
    board.write("slot-B", b"neither version!")
    assert judged(board).verdict is Verdict.INCONSISTENT


def test_a_portal_is_no_update_server() -> None:
    board = Talking(says=["gateway-health: slot B: ok"], server="<html>please log in</html>")
    [broken] = [each for each in judged(board).invariants if not each.holds]
    assert broken.name == "update-server-reachable"
    assert "please log in" in broken.detail


# What a product promises. A board's time passes only while somebody waits for it.


@dataclass
class Clock:
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class SlowBoard(Talking):
    """Says each of `lines` at its second, and commits at a second."""

    folder: Path = Path()
    clock: Clock = field(default_factory=Clock)
    lines: list[tuple[float, str]] = field(default_factory=list)
    commits: float = 0.0
    on_trial: bytes = field(
        default_factory=lambda: environment_block(order="B A", states=("good", "trial"))
    )
    heard: int = 0

    def _wait(self, until: float) -> None:
        self.clock.now = max(self.clock.now, until)
        self.boots = 1 + sum("rolled back" in line for _, line in self._said())

    def _said(self) -> list[tuple[float, str]]:
        return [each for each in self.lines if each[0] <= self.clock.now]

    def expect(self, pattern: str, timeout: float) -> str:
        if self.heard < len(self.lines) and self.lines[self.heard][0] <= self.clock.now + timeout:
            at, line = self.lines[self.heard]
            self.heard += 1
            self._wait(at)
            return line
        self._wait(self.clock.now + timeout)
        raise DeviceError("silence")

    def wait_boots(self, count: int, timeout: float) -> None:
        end = self.clock.now + timeout
        for at in [each for each, _ in self.lines if each <= end] + [end]:
            if self.boots >= count:
                return
            self._wait(at)
        if self.boots < count:
            raise DeviceError("no boot")

    @property
    def console_logs(self) -> list[Path]:
        said = "".join(f"{line}\r\n" for _, line in self._said())
        texts = re.split(r"(?<=back: why\r\n)", said)
        paths = [self.folder / f"boot-{number}.log" for number in range(1, self.boots + 1)]
        for path, text in zip(paths, [*texts, ""], strict=False):
            path.write_text(text)
        return paths

    def read(self, offset: int, length: int) -> bytes:
        if self.clock.now < self.commits and offset < 1024:
            return self.on_trial
        return super().read(offset, length)


def judged_as(board: Talking, promises: Promises, client: FakeClient | None = None) -> Judgement:
    """By the rules of a product with those promises."""
    old, new = release("1", OLD, promises), release("2", NEW, promises)
    judge = replace(judge_of(board, client), old=old, new=new, flashed=old, budget=None)
    return judge.judge(boots_before=0)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlowBoard:
    board = SlowBoard([], folder=tmp_path)
    monkeypatch.setattr(deadline, "time", board.clock)
    return board


OK, TRIED = "gateway-health: slot B: ok", "gateway-health: slot B: degraded: not yet"
SOAKS, REPEATS = Promises(soak=400), Promises(health="repeatedly")


@pytest.mark.parametrize(
    ("promises", "lines", "commits", "verdict"),
    [
        (SOAKS, [(470.0, OK)], 469.0, "new"),
        (PROMISES, [(470.0, OK)], 469.0, "bricked"),
        (SOAKS, [(800.0, OK)], 799.0, "bricked"),
        (SOAKS, [(60.0, OK)], 455.0, "new"),
        (PROMISES, [(60.0, OK)], 455.0, "inconsistent"),
        (SOAKS, [(60.0, OK)], 900.0, "inconsistent"),
        (REPEATS, [(10.0, TRIED), (40.0, OK), (70.0, OK)], 39.0, "new"),
        (REPEATS, [(10.0, TRIED), (40.0, OK), (70.0, OK)], 900.0, "inconsistent"),
    ],
)
def test_a_good_version_may_wait_as_long_as_its_product_says(
    slow: SlowBoard,
    promises: Promises,
    lines: list[tuple[float, str]],
    commits: float,
    verdict: str,
) -> None:
    slow.lines, slow.commits = lines, commits
    assert judged_as(slow, promises).verdict == verdict


@pytest.mark.parametrize(("promises", "at"), [(REPEATS, 45.0), (PROMISES, 10.0)])
def test_the_last_line_counts_where_there_are_more(
    slow: SlowBoard, promises: Promises, at: float
) -> None:
    slow.lines = [(10.0, TRIED), (45.0, OK)]
    judged_as(slow, promises)
    assert slow.clock.now == at


LEFT = "gateway-health: slot B: rolled back: why"


@pytest.mark.parametrize(
    ("promises", "verdict"), [(REPEATS, "recovered"), (PROMISES, "inconsistent")]
)
def test_what_was_said_first_may_be_taken_back(
    slow: SlowBoard, promises: Promises, verdict: str
) -> None:
    for region in ("boot-selection-1", "boot-selection-2"):
        slow.write(region, environment_block(states=("good", "bad")))
    slow.block = environment_block(states=("good", "bad"))
    slow.lines, slow.commits = [(10.0, OK), (12.0, LEFT), (60.0, OK)], 12.0
    found = judged_as(slow, promises, FakeClient(slow, version="1", slot=Slot.A))
    assert found.verdict == verdict


def test_what_the_boot_before_says_is_not_this_ones(slow: SlowBoard) -> None:
    """It says that it is well until it reboots; then nothing comes."""
    slow.lines = [(0.0, OK), (10.0, OK), (20.0, "the end: rolled back: why")]
    judge = replace(judge_of(slow), old=release("1", OLD, REPEATS), budget=None)
    assert judge.judge(boots_before=1).verdict is Verdict.BRICKED


FIVE = Promises(attempts=5)


def test_attempts_are_as_many_as_promised() -> None:
    block = environment_block(order="B A", attempts=5)
    assert judged_as(Talking(HEALTHY, block=block), FIVE).verdict is Verdict.NEW
    for others in (Talking(HEALTHY), Talking(HEALTHY, block=block)):
        promises = FIVE if others.block != block else PROMISES
        assert "attempts-restored" in broken(judged_as(others, promises))


@pytest.mark.parametrize(("promises", "bricked"), [(FIVE, False), (PROMISES, True)])
def test_a_version_may_be_tried_as_often_as_promised(promises: Promises, bricked: bool) -> None:
    block = environment_block(states=("good", "bad"), attempts=promises.attempts)
    board = Talking(["reset"] * 7 + ["gateway-health: slot A: ok"], block=block)
    found = judged_as(board, promises, FakeClient(board, version="1", slot=Slot.A))
    assert found.verdict is (Verdict.BRICKED if bricked else Verdict.RECOVERED)


# What cannot be looked at is not checked; what can be looked at while it is off, is.

ON_THE_MEDIUM = set(Inspection.NAMES)
TWICE = [*HEALTHY, *HEALTHY]


def test_all_is_checked_where_the_medium_can_be_read() -> None:
    found = judged(Talking(HEALTHY))
    assert found.not_checked == ()
    assert {each.name for each in found.invariants} >= ON_THE_MEDIUM


def test_what_nobody_can_read_is_not_checked_and_never_holds() -> None:
    board = Talking(HEALTHY)
    board.lacks = frozenset({Capability.MEDIUM_READ})
    board.write("slot-B", b"neither version!")
    found = judged(board)
    assert found.verdict is Verdict.NEW  # by all that could be seen
    assert {each.name for each in found.not_checked} == ON_THE_MEDIUM
    assert {each.why for each in found.not_checked} == {"the board has no medium-read"}
    assert not {each.name for each in found.invariants} & ON_THE_MEDIUM
    assert not board.read_while_on


def test_a_medium_behind_a_mux_is_read_while_the_board_is_off() -> None:
    """And it is up and well afterwards, for whoever goes on with it."""
    board = Talking(TWICE)
    board.live = False
    found = judged(board)
    assert (found.verdict, found.boots, found.not_checked) == (Verdict.NEW, 1, ())
    assert {each.name for each in found.invariants} == {
        *(each.name for each in judged(Talking(HEALTHY)).invariants),
        "boots-again",
    }
    assert board.is_on and not board.read_while_on
    assert board.boots == 2


def test_who_needs_it_no_more_may_leave_it_off() -> None:
    board = Talking(HEALTHY)
    board.live = False
    found = judge_of(board).judge(boots_before=0, leave_off=True)
    assert (found.verdict, broken(found)) == (Verdict.NEW, set())
    assert not board.is_on and board.boots == 1


@pytest.mark.parametrize("damage", ["one byte of the running slot", "copy 2 torn"])
def test_what_is_wrong_there_is_found_while_it_is_off(damage: str) -> None:
    board = Talking(TWICE)
    board.live = False
    client = FakeClient(board)
    do, expected = DAMAGES[damage]
    do(board, client)
    found = judged(board, client)
    assert (found.verdict, broken(found)) == (Verdict.INCONSISTENT, expected)


def test_a_board_that_does_not_come_back_from_that_is_bricked() -> None:
    board = Talking([*HEALTHY, "nothing to see"])
    board.live = False
    found = judged(board)
    assert (found.verdict, broken(found)) == (Verdict.BRICKED, {"boots-again"})


def test_what_runs_then_is_what_was_judged(slow: SlowBoard) -> None:
    """A board whose selection nobody can read meanwhile is asked whether it has committed."""
    slow.lacks = frozenset({Capability.MEDIUM_READ})
    slow.lines, slow.commits = [(60.0, OK)], 455.0

    class Asked(FakeClient):
        def boot_selection(self, timeout: float) -> BootSelection:
            block = slow.on_trial if slow.clock.now < slow.commits else slow.block
            return cast(BootSelection, parse_environment_block(block, MOST_ATTEMPTS))

    assert judged_as(slow, SOAKS, Asked(slow)).verdict is Verdict.NEW
    assert slow.clock.now >= slow.commits
    again = judge_of(slow, Asked(slow))
    slow.clock.now = 60.0
    chosen = again.selection_now()
    assert chosen is not None and str(chosen.slots[Slot.B]).startswith("trial")


def test_a_judgement_without_an_invariant_stands_on_the_rest() -> None:
    board = Talking(HEALTHY)
    board.kept = ""
    lost = judged(board)
    assert lost.verdict is Verdict.INCONSISTENT
    left = lost.without("data-unchanged", "it was destroyed on purpose")
    assert (left.verdict, broken(left)) == (Verdict.NEW, set())
    assert left.not_checked == (
        NotChecked(name="data-unchanged", why="it was destroyed on purpose"),
    )
    board = Talking(HEALTHY)
    board.kept = ""
    board.write("slot-B", b"N")
    more = judged(board).without("data-unchanged", "it was destroyed on purpose")
    assert more.verdict is Verdict.INCONSISTENT
    assert "slot-content" in broken(more)


@dataclass
class GoingDown(Talking):
    """Reboots only while somebody waits for that; until then it is as well as it was."""

    def wait_boots(self, count: int, timeout: float) -> None:
        self.boots = max(self.boots, count)


class AlwaysWell(FakeClient):
    """Answers as soon as it is asked, also on a system that goes down."""

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        return "slot B: ok"


@pytest.mark.parametrize("asked", [True, False])
def test_who_is_asked_would_still_answer_while_it_goes_down(*, asked: bool) -> None:
    board = GoingDown([])
    judge = judge_of(board, AlwaysWell(board))
    assert replace(judge.health, asked=asked).wait(1) == ""
    assert (board.boots == 2) is asked


class NeverWell(FakeClient):
    """Says in its own words that it is not, for as long as it is asked."""

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        raise DeviceError("not well within 1 s")


@pytest.mark.parametrize("silent", [True, False])
def test_who_is_asked_and_answers_is_no_brick(*, silent: bool) -> None:
    """It is there, and can be looked at; how well it is, is one question of many."""
    board = GoingDown([])
    judge = judge_of(board, NeverWell(board, health="degraded", silent=silent))
    told = replace(judge.health, asked=True).wait(1)
    assert bool(told) is silent
