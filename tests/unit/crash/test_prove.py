"""The prover against a board made of bytes, and the probe against the real update server."""

import json
import shutil
import socket
import threading
import urllib.request
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from harness.boards.board import Addresses, CommandResult
from harness.builders.debian.bootloaders.grub import environment_block
from harness.crash.exploration.prove import FILE, Proof, prove
from harness.crash.exploration.selected import Selected
from harness.crash.recording.phases import Phase
from harness.crash.recording.probe import serving
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import parse
from harness.errors import ConfigurationError, DeviceError, LabError
from harness.judge.identity import Identity
from harness.judge.verdict import Verdict
from harness.product.profile import DeviceCommands
from tests.unit.boards.fake import FakeBoard
from tests.unit.crash.recordings import HOST_KEY, LAYOUT, NEW, OLD, PROBE, recording, release
from tests.unit.judge.site_data import untouched
from tests.unit.judge.test_judge import HEALTHY

STATUS = {"version": "1.0.0", "slot": "A", "health": "ok"}


@dataclass
class Device(FakeBoard):
    """A board with the small recording's disk; healthy, unless `says` is something else."""

    medium: bytearray
    folder: Path
    says: str = HEALTHY[0].replace("slot B", "slot A")
    install: str = "ok"  # refused, dead, idle: it selects nothing; mixed: of two artifacts
    back: str = "ok"  # after the probe: gone, in slot B, with another key, or without its sentinel
    key: str = HOST_KEY
    id: str = ""
    medium_fails: bool = False
    name: str = "small-1"
    recovers: bool = False  # at power-on: from three boots of the other slot
    data: str = "kept"  # or lost, or none yet
    boots: int = 0
    is_on: bool = False
    loaded: tuple[Path, datetime, int] | None = None
    sent: list[str] = field(default_factory=list)

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        self.loaded = (state_file, clock, seed)
        self.write_log.write_bytes(b"log")

    def power_on(self) -> None:
        self.is_on = True
        self.boots = 1
        if self.recovers:
            self._come_back()
            self.boots = 4
        (self.folder / "boot-1.log").write_text(self.says)

    def expect(self, pattern: str, timeout: float) -> str:
        if self.medium_fails:
            raise LabError("nbdkit has died")
        if "health" not in self.says:
            self.boots += 1
            raise DeviceError("reset")
        return self.says

    def run(self, command: str, *, timeout: float) -> CommandResult:
        self.sent.append(command)
        if "list-units" in command:
            return self._done("")
        if "sha256sum" in command:
            return self._done(untouched() if self.data == "kept" else "")
        if "systemctl reboot" in command:
            self._come_back()
        if "gateway-update install" in command:
            return self._install()
        selection = self.read(0, 512).decode().rstrip("#").splitlines()[1:]
        pairs = dict(line.split("=") for line in selection)
        status = {
            **STATUS,
            "device_id": self.id,
            "boot_selection": {**pairs, "copy1": "ok", "copy2": "ok"},
        }
        return self._done(f"\nhttp://10.0.2.2:20001\n{json.dumps(status)}")

    def _install(self) -> CommandResult:
        self.write_log.write_bytes(b"log with the probe")
        if self.install == "dead":
            raise DeviceError("ssh: the link died")
        if self.install in ("ok", "mixed"):
            block = environment_block(order="B A", states=("good", "trial"))
            self.medium[0:1024] = block + block
        if self.install in ("ok", "mixed"):
            content = PROBE if self.install == "ok" else PROBE[:512] + NEW[512:]
            offset = LAYOUT["slot-B"].offset
            self.medium[offset : offset + len(content)] = content
        return self._done("LastError: no space", returncode=1 if self.install == "refused" else 0)

    def _come_back(self) -> None:
        """The probe does not boot: three attempts, then back."""
        self.boots += 4
        block = environment_block(states=("good", "bad"))
        self.medium[0:1024] = block + block
        if self.back == "data lost":
            self.data = "lost"
        if self.back == "gone":
            self.says = "no more"
        if self.back == "another key":
            self.key = "ssh-ed25519 BBBB"

    def host_key(self, *, timeout: float) -> str:
        return self.key

    def _done(self, stdout: str, *, returncode: int = 0) -> CommandResult:
        return CommandResult(stdout=stdout, stderr="", returncode=returncode)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.medium[offset : offset + length])

    def read_set(self) -> list[tuple[int, int]]:
        installed = any("install" in command for command in self.sent)
        return [(0, 2), (8, 4)] if installed else [(0, 2)]

    @property
    def write_log(self) -> Path:
        return self.folder / "log.bin"

    @property
    def console_logs(self) -> list[Path]:
        return sorted(self.folder.glob("boot-*.log"))


@pytest.fixture
def recorded(tmp_path: Path) -> Recording:
    return recording(tmp_path)


def device(recorded: Recording) -> Device:
    folder = recorded.folder.parent / "board"
    folder.mkdir(exist_ok=True)
    return Device(medium=bytearray(recorded.base.read_bytes()), folder=folder)


def proven(recorded: Recording, board: Device, *, comes_back: bool = True) -> Proof:
    folder, state = recorded.folder / "proofs/00001", recorded.folder / "state.json"
    return prove(recorded, board, parse("4/none"), state, folder, comes_back=comes_back)


def test_a_good_state_is_booted_alike_judged_and_probed(recorded: Recording) -> None:
    board = device(recorded)
    proof = proven(recorded, board)
    assert board.loaded == (recorded.folder / "state.json", recorded.clock, recorded.seed)
    assert (proof.verdict, proof.final, proof.boots, proof.broken) == (Verdict.OLD, "old", 1, ())
    assert proof.reads_judged == [(0, 2)]
    assert proof.reads == [(0, 2), (8, 4)]
    assert (proof.folder / "log.bin").read_bytes() == b"log"  # without what the probe wrote
    assert (proof.folder / "console/boot-1.log").read_text() == board.says
    assert not board.is_on


@pytest.mark.parametrize("install", ["refused", "dead", "idle", "mixed"])
def test_a_board_that_takes_no_update_any_more_is_inconsistent(
    recorded: Recording, install: str
) -> None:
    board = device(recorded)
    board.install = install
    proof = proven(recorded, board)
    assert proof.verdict is Verdict.INCONSISTENT
    assert [each.name for each in proof.broken] == ["second-update"]
    told = {"refused": "no space", "dead": "link died", "idle": "boot selection went from"}
    assert told.get(install, "slot B does not hold what was") in proof.broken[0].detail
    assert not any("reboot" in command for command in board.sent)  # nothing is left to ask


@pytest.mark.parametrize(
    ("back", "verdict", "told"),
    [
        ("gone", Verdict.BRICKED, "healthy: not healthy after 6 boots"),
        ("data lost", Verdict.INCONSISTENT, "data-unchanged"),
        ("another key", Verdict.INCONSISTENT, "identity: host_key was ssh-ed25519 AAAA, is"),
    ],
)
def test_a_board_must_come_back_from_a_version_that_does_not_boot(
    recorded: Recording, back: str, verdict: Verdict, told: str
) -> None:
    board = device(recorded)
    board.back = back
    proof = proven(recorded, board)
    assert proof.verdict is verdict
    assert [each.name for each in proof.broken] == ["back-from-second-update"]
    assert told in proof.broken[0].detail


def test_the_reboot_may_be_left_out_but_not_in_the_factory(recorded: Recording) -> None:
    board = device(recorded)
    board.back = "gone"
    proof = proven(recorded, board, comes_back=False)
    assert (proof.verdict, proof.came_back, proof.broken) == (Verdict.OLD, False, ())
    recorded = replace(recorded, phases=(Phase(name="factory", start=0, end=5), *recorded.phases))
    again = device(recorded)
    again.back, again.data = "gone", "none"
    proof = proven(recorded, again, comes_back=False)
    assert (proof.verdict, proof.came_back) == (Verdict.BRICKED, True)


def test_a_board_with_another_identity_is_inconsistent(recorded: Recording) -> None:
    board = device(recorded)
    board.key = "ssh-ed25519 BBBB"
    proof = proven(recorded, board)
    assert proof.verdict is Verdict.INCONSISTENT
    assert [each.name for each in proof.broken] == ["identity"]


@pytest.mark.parametrize("told", ["", "gw-2"])
def test_a_board_that_told_its_id_tells_the_same_one(recorded: Recording, told: str) -> None:
    recorded = replace(recorded, identity=Identity(host_key=HOST_KEY, device_id="gw-1"))
    board = device(recorded)
    board.id = told
    proof = proven(recorded, board)
    assert [each.detail for each in proof.broken] == [f"device_id was gw-1, is {told or 'none'}"]


def test_a_board_must_run_what_its_state_selects(recorded: Recording) -> None:
    board = device(recorded)
    trial = environment_block(order="B A", states=("good", "trial"))
    board.medium[0:1024] = trial + trial
    board.recovers = True  # it falls back from a trial that nothing is wrong with
    proof = proven(recorded, board)
    assert proof.selected == Selected(slot="B", state="trial", left=3, holds="old")
    assert proof.verdict is Verdict.INCONSISTENT
    assert [each.name for each in proof.broken] == ["selected-version"]
    assert "selects slot B (trial/3, old); after 4 boots old runs from slot A" in str(proof.broken)


def test_a_bad_version_on_trial_may_go_back(recorded: Recording) -> None:
    bad = release(recorded.folder.parent / "bad", "1.2.0", b"bad!" * 512)
    recorded = replace(recorded, bad=bad)
    board = device(recorded)
    trial = environment_block(order="B A", states=("good", "trial"))
    board.medium[0:1024] = trial + trial
    offset = LAYOUT["slot-B"].offset
    board.medium[offset : offset + 2048] = b"bad!" * 512
    board.recovers = True
    proof = proven(recorded, board)
    assert proof.selected and proof.selected.holds == "bad"
    assert (proof.verdict, proof.broken) == (Verdict.RECOVERED, ())


@dataclass
class Driven(Device):
    """A board without our programs, of which a profile's commands are asked; its artifacts are of
    others, so that the probe is the old version's own update."""

    slot: str = "A"
    second_boot: str = "A"  # the slot that runs after a boot that nobody cut
    runs_probe: bool = True
    installed: bool = False
    probe: bytes = OLD
    probe_version: str = "1.0.0"

    def wait_boots(self, count: int, timeout: float) -> None:
        if self.boots < count:
            raise DeviceError("no boot")

    def run(self, command: str, *, timeout: float) -> CommandResult:
        if "list-units" in command or "sha256sum" in command:
            return super().run(command, timeout=timeout)
        self.sent.append(command)
        if "reboot" in command:
            self.boots += 1
            self.slot = ("B" if self.runs_probe else "A") if self.installed else self.second_boot
            self._select(self.slot)
        if "take" in command:
            self.installed = True
            self._select("B")
            offset = LAYOUT["slot-B"].offset
            self.medium[offset : offset + len(self.probe)] = self.probe
        version = self.probe_version if (self.installed, self.slot) == (True, "B") else "1.0.0"
        said = {"tell version": version, "tell slot": self.slot}
        return self._done(said.get(command, "0" if ".code" in command else ""))

    def _select(self, slot: str) -> None:
        order = "A B" if slot == "A" else "B A"
        block = environment_block(order=order, states=("good", "good"))
        self.medium[0:1024] = block + block


@pytest.fixture
def driven(recorded: Recording) -> Driven:
    folder = recorded.folder.parent / "board"
    folder.mkdir()
    return Driven(medium=bytearray(recorded.base.read_bytes()), folder=folder)


def by_profile(recorded: Recording) -> Recording:
    commands = DeviceCommands(
        version="tell version", slot="tell slot", well="true", install="take {url}", data="/data"
    )
    old = replace(recorded.old, product=replace(recorded.old.product, device=commands))
    return replace(recorded, old=old, probe_slot=old.slot)


@pytest.mark.parametrize("runs", [True, False])
def test_a_probe_that_boots_must_be_what_runs_then(
    recorded: Recording, driven: Driven, runs: bool
) -> None:
    driven.runs_probe = runs
    proof = proven(by_profile(recorded), driven)
    assert proof.came_back
    assert [each.name for each in proof.broken] == ([] if runs else ["back-from-second-update"])


@pytest.mark.parametrize("runs", [True, False])
def test_a_probe_that_is_a_newer_version_must_be_what_runs_then(
    recorded: Recording, driven: Driven, runs: bool
) -> None:
    content = NEW[:-512] + b"more" * 128
    newer = release(recorded.folder.parent / "newer", "2.0.0", content)
    driven.probe, driven.probe_version, driven.runs_probe = content, "2.0.0", runs
    proof = proven(replace(by_profile(recorded), newer=newer, probe_slot=newer.slot), driven)
    assert (proof.came_back, proof.final) == (True, "old")
    assert [each.name for each in proof.broken] == ([] if runs else ["back-from-second-update"])


def test_what_was_good_in_the_first_boot_must_be_in_the_second(
    recorded: Recording, driven: Driven
) -> None:
    driven.second_boot = "B"
    proof = proven(by_profile(recorded), driven)
    assert [each.name for each in proof.broken] == ["second-boot"]
    assert "old ran from slot A, then old from slot B" in proof.broken[0].detail
    assert not driven.installed  # nothing is left to ask


@dataclass
class Rereading(Driven):
    """It reads a sector of slot B in its second boot."""

    def read_set(self) -> list[tuple[int, int]]:
        return [(0, 2), (16, 1)] if self.boots > 1 else [(0, 2)]


def test_what_the_second_boot_reads_of_the_probes_slot_counts(recorded: Recording) -> None:
    """All reads after the judge's first verdict were taken for those of the probe's client."""
    folder = recorded.folder.parent / "board"
    folder.mkdir()
    board = Rereading(medium=bytearray(recorded.base.read_bytes()), folder=folder)
    assert proven(by_profile(recorded), board).reads_judged == [(0, 2), (16, 1)]


def test_in_the_factory_nothing_is_asked_that_a_site_gives(recorded: Recording) -> None:
    recorded = replace(recorded, phases=(Phase(name="factory", start=0, end=5), *recorded.phases))
    board = device(recorded)
    board.key, board.data = "ssh-ed25519 CCCC", "none"  # made at this boot
    proof = proven(recorded, board)
    assert (proof.verdict, proof.factory, proof.broken) == (Verdict.OLD, True, ())
    assert f"http://10.0.2.2:{recorded.server_port}/probe" in str(board.sent)
    again = device(recorded)
    again.back, again.data = "another key", "none"
    assert [each.name for each in proven(recorded, again).broken] == ["back-from-second-update"]


def test_a_broken_state_is_not_probed(recorded: Recording) -> None:
    board = device(recorded)
    board.medium[LAYOUT["slot-A"].offset] = 0
    proof = proven(recorded, board)
    assert proof.verdict is Verdict.INCONSISTENT
    assert "slot-content" in {each.name for each in proof.broken}
    assert not any("install" in command for command in board.sent)


def test_a_board_that_never_comes_is_bricked(recorded: Recording) -> None:
    board = device(recorded)
    board.says = "no more"
    proof = proven(recorded, board)
    assert (proof.verdict, proof.final) == (Verdict.BRICKED, "")
    assert not board.is_on


def test_a_failing_bench_is_no_verdict(recorded: Recording) -> None:
    board = device(recorded)
    board.medium_fails = True
    with pytest.raises(LabError, match="nbdkit"):
        proven(recorded, board)
    assert not board.is_on
    assert not (recorded.folder / "proofs/00001" / FILE).exists()


def test_a_proof_comes_back_as_it_was_saved(recorded: Recording) -> None:
    board = device(recorded)
    board.install = "refused"
    proof = proven(recorded, board)
    assert Proof.load(proof.folder, recorded) == proof
    moved = shutil.move(proof.folder, recorded.folder / "elsewhere")
    assert Proof.load(Path(moved), recorded).folder == Path(moved)
    (Path(moved) / FILE).write_text("{}")
    with pytest.raises(ConfigurationError, match="recording: missing"):
        Proof.load(Path(moved), recorded)


def test_what_another_accelerator_executed_is_never_mixed(recorded: Recording) -> None:
    """Not booted, and not believed; of an older recording, which does not say, it was tcg."""
    assert "accelerator" not in json.loads((recorded.folder / "recording.json").read_text())
    board = device(recorded)
    board.accelerator = "kvm"
    with pytest.raises(
        ConfigurationError, match=r"small-1: its boots are under kvm, those of .* tcg"
    ):
        proven(recorded, board)
    assert board.loaded is None
    proof = proven(recorded, device(recorded))
    assert proof.accelerator == "tcg"
    replace(proof, accelerator="kvm").save()
    with pytest.raises(ConfigurationError, match="accelerator: kvm, the recording is of tcg"):
        Proof.load(proof.folder, recorded)
    other = replace(recorded, accelerator="kvm")
    other.save()
    assert Recording.load(recorded.folder).accelerator == "kvm"
    assert other.id != recorded.id


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def test_several_provers_serve_one_port(recorded: Recording) -> None:
    recorded = replace(recorded, server_port=free_port())
    recorded.probe.write_bytes(b"probe")
    with serving(recorded, FakeBoard()) as first, serving(recorded, FakeBoard()) as second:
        assert first.port == second.port == recorded.server_port
        for _ in range(8):
            address = f"{first.url()}/{recorded.probe.name}"
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own
                assert answer.read() == b"probe"
        assert first.log or second.log


def test_the_probe_is_served_where_the_lab_says(recorded: Recording) -> None:
    class Far(FakeBoard):
        addresses = Addresses(listen="127.0.0.2", host="192.0.2.1")

    recorded = replace(recorded, server_port=free_port())
    recorded.probe.write_bytes(b"probe")
    with serving(recorded, Far()) as server:
        assert server.address == ("127.0.0.2", recorded.server_port)


def test_a_port_that_another_program_has_is_the_labs_fault(recorded: Recording) -> None:
    recorded.probe.write_bytes(b"probe")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        recorded = replace(recorded, server_port=other.getsockname()[1])
        with (
            pytest.raises(LabError, match=str(recorded.server_port)),
            serving(recorded, FakeBoard()),
        ):
            pass
    assert not [t for t in threading.enumerate() if t.name == "update-server"]
