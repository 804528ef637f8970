"""Recording from a board made of bytes that logs its writes: what is kept and what is refused."""

import json
import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from harness.boards.board import CommandResult
from harness.builders.debian.bootloaders.grub import environment_block
from harness.crash.record import Session, record
from harness.crash.recording.recording import Recording
from harness.crash.states.sources import Sources
from harness.errors import ConfigurationError, DeviceError, HarnessError, LabError
from harness.judge.identity import Identity
from harness.judge.verdict import Verdict
from harness.medium.files import copy_file
from harness.medium.log import LogWriter, Origin, RecordKind, create_log
from harness.medium.model import Loss, PowerCut
from harness.product.layout import MIB
from harness.product.release import Release
from harness.updates.server import UpdateServer
from tests.unit.boards.fake import FakeBoard
from tests.unit.crash.logs import content
from tests.unit.crash.recordings import HOST_KEY, LAYOUT, NEW, OLD, PROBE_SLOT, release
from tests.unit.judge.site_data import untouched

LAB = """
targets:
  small-1:
    options: {machine: small}
  other-1:
    options: {machine: other}
"""


@dataclass
class Device(FakeBoard):
    """A device that updates itself as a gateway does; `fault` is what goes wrong with it."""

    folder: Path
    fault: str = ""
    name: str = "small-1"
    boots: int = 0
    is_on: bool = False
    slot: str = "A"
    trial: str = ""
    bad: bool = False  # there is a version that fails
    cable: bool = True
    lines: list[str] = field(default_factory=list)
    new: bytes = NEW

    def flash(self, image: Path) -> None:
        self.size = image.stat().st_size
        copy_file(image, self.content)
        create_log(self.write_log, Origin(model="disk", size=self.size, base=str(image)))
        self.log = LogWriter(self.write_log)

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        self.clock, state = clock, self.folder / "state.img"
        state.write_bytes(content(Sources.load(state_file)))
        self.flash(state)

    def power_on(self) -> None:
        self.is_on = True
        self._boot()

    def cut(self, loss: Loss) -> PowerCut:
        self.is_on = False
        unflushed = 1 if self.fault == "goes off with unflushed writes" else 0
        return PowerCut(position=0, loss=str(loss), unflushed=unflushed, kept=())

    def mark(self, name: str) -> None:
        self.log.append(RecordKind.MARK, payload=name.encode())

    def link(self, *, up: bool) -> None:
        self.cable = up
        if not up:  # the reboot that was asked for
            self._boot()

    def expect(self, pattern: str, timeout: float) -> str:
        if not self.lines:
            raise DeviceError("silence")
        return self.lines.pop(0)

    def host_key(self, *, timeout: float) -> str:
        return HOST_KEY

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        self._write("data", b"d" * 512)

    def run(self, command: str, *, timeout: float) -> CommandResult:
        if "poweroff" in command:
            self.lines.append("[  18.834225] reboot: Power down")
        elif "systemctl reboot" in command:
            if self.slot == "A" or self.bad:  # with its cable; without, see `link`
                self._boot()
        elif "systemd-run" in command:
            self._install()
        elif ".code" in command:
            code = "1" if self.fault == "refuses the update" else "0"
            return _done(f"{code}\n")
        elif "/health" in command:
            return _done("ok\n")
        elif "sha256sum" in command:
            return _done(untouched())
        elif "gateway-update status" in command:
            return _done(self._status())
        return _done("")

    def read(self, offset: int, length: int) -> bytes:
        with self.content.open("rb") as stream:
            return os.pread(stream.fileno(), length, offset)

    @property
    def content(self) -> Path:
        return self.folder / "content.img"

    @property
    def write_log(self) -> Path:
        return self.folder / "log.bin"

    @property
    def console_logs(self) -> list[Path]:
        return sorted(self.folder.glob("boot-*.log"))

    def _boot(self) -> None:
        self.boots += 1
        self.mark(f"boot {self.boots}")
        (self.folder / f"boot-{self.boots}.log").write_text("booting\n")
        before, self.slot = self.slot, self.trial or self.slot
        self._write("data", b"m" * 512)
        if not self.trial:
            self.lines.append(f"gateway-health: slot {self.slot}: ok")
        elif (
            self.cable and not (self.bad and before == "B")
        ) or self.fault == "commits without a network":
            self._select(good=self.slot)
            self.lines.append(f"gateway-health: slot {self.slot}: ok")
        else:
            self.trial, self.slot = "", before
            self.lines.append("gateway-health: slot A: rolled back: no network")
            self._select(good=before, bad="B" if before == "A" else "A")
            self._boot()
        self.trial = ""

    def _install(self) -> None:
        self.trial = "B" if self.slot == "A" else "A"
        self._write(f"slot-{self.trial}", self.new if self.trial == "B" else OLD)
        self._select(trial=self.trial)
        if self.fault == "writes past its log":
            with self.content.open("r+b") as stream:
                os.pwrite(stream.fileno(), b"?", LAYOUT["slot-B"].offset + 4000)

    def _select(self, *, good: str = "", bad: str = "", trial: str = "") -> None:
        first = good or trial
        states = {"A": "good", "B": "good", bad: "bad", trial: "trial"}
        order = f"{first} {'A' if first == 'B' else 'B'}"
        block = environment_block(order=order, states=(states["A"], states["B"]))
        self._write("boot-selection-1", block)
        self._write("boot-selection-2", block)

    def _write(self, region: str, content: bytes) -> None:
        offset = LAYOUT[region].offset + (8 * MIB - 512 if region == "data" else 0)
        self.log.append(RecordKind.WRITE, offset=offset, length=len(content), payload=content)
        self.log.append(RecordKind.FLUSH)
        with self.content.open("r+b") as stream:
            os.pwrite(stream.fileno(), content, offset)

    def _status(self) -> str:
        block = self.read(*LAYOUT["boot-selection-1"]).decode().rstrip("#").splitlines()[1:]
        selection = dict(line.split("=") for line in block)
        version = "1.1.0" if self.slot == "B" else "1.0.0"
        health = "ok" if self.fault != "says that it is degraded" else "degraded"
        status = {"version": version, "slot": self.slot, "health": health}
        return f"\nurl\n{json.dumps({**status, 'boot_selection': selection})}"


def _done(stdout: str) -> CommandResult:
    return CommandResult(stdout=stdout, stderr="", returncode=0)


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, Release]:
    return release(tmp_path / "old", "1.0.0", OLD), release(tmp_path / "new", "1.1.0", NEW)


def recorded(
    tmp_path: Path,
    releases: tuple[Release, Release],
    fault: str = "",
    bad: Release | None = None,
) -> Recording:
    """What a board with this fault leaves behind."""
    (tmp_path / "board").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    board = Device(tmp_path / "board", fault, bad=bad is not None)
    lab = tmp_path / "lab.yaml"
    lab.write_text(LAB)
    with UpdateServer() as server:
        session = Session(board=board, lab=lab, server=server)
        session.make_probe = lambda *_: PROBE_SLOT
        session.record(*releases, run, bad=bad)
    return Recording.load(run)


def test_an_update_and_a_rollback_are_recorded(
    tmp_path: Path, releases: tuple[Release, Release]
) -> None:
    found = recorded(tmp_path, releases)
    verdicts = [(each.name, each.verdict, each.final) for each in found.outcomes]
    assert verdicts == [
        ("update", Verdict.NEW, "new"),
        ("rollback", Verdict.RECOVERED, "new"),
    ]
    names = [phase.name for phase in found.phases]
    assert names[:5] == ["factory", "provision", "boot-old", "install", "switch"]
    first, rest = found.stretches
    assert first.factory and first.records.start == 0
    assert first.records.stop < rest.records.start == found.start  # provisioning is not cut
    assert found.in_factory(1) and not found.in_factory(found.start + 1)
    assert found.identity == Identity(host_key=HOST_KEY)
    assert found.probe_slot == PROBE_SLOT
    assert names[-1] == "rolled-back"
    assert len(list(found.console.iterdir())) == 5
    found.verify()


def test_a_version_that_fails_is_rolled_back(
    tmp_path: Path, releases: tuple[Release, Release]
) -> None:
    bad = release(tmp_path / "bad", "1.2.0", b"bad!" * 512)
    found = recorded(tmp_path, releases, bad=bad)
    assert [each.verdict for each in found.outcomes] == [Verdict.NEW, Verdict.RECOVERED]
    assert found.bad == bad and Recording.load(found.folder).bad == bad


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        ("refuses the update", DeviceError, "refused 1.1.0"),
        ("commits without a network", DeviceError, "was not rolled back"),
        ("goes off with unflushed writes", DeviceError, "1 writes not flushed"),
        ("writes past its log", LabError, "do not make the medium's content"),
    ],
)
def test_what_proves_nothing_is_refused(
    tmp_path: Path,
    releases: tuple[Release, Release],
    fault: str,
    kind: type[HarnessError],
    told: str,
) -> None:
    with pytest.raises(kind, match=told):
        recorded(tmp_path, releases, fault)
    assert (tmp_path / "run/console/boot-1.log").exists()


def test_a_bad_version_that_gets_to_its_end_is_recorded(
    tmp_path: Path, releases: tuple[Release, Release]
) -> None:
    found = recorded(tmp_path, releases, "says that it is degraded")
    assert [each.verdict for each in found.outcomes] == [Verdict.INCONSISTENT] * 2
    assert {each.name for each in found.outcomes[0].broken} == {"healthy"}


@pytest.mark.parametrize(
    ("change", "board", "told"),
    [
        ("machine", "small-1", "is for other"),
        ("slot", "small-1", "same slot"),
        ("", "other-1", "other-1 is a other"),
        ("output", "small-1", "not empty"),
        ("artifact", "small-1", "release.json"),
        ("successor", "small-1", "nothing can be installed after each cut of an update to it"),
        ("refuses", "small-1", "nothing can be installed on small after each cut"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_touched(
    tmp_path: Path, releases: tuple[Release, Release], change: str, board: str, told: str
) -> None:
    old, new = releases
    if change == "machine":
        replace(new, machine="other").write()
    if change == "slot":
        files = {**new.files, "slot.img": old.files["slot.img"]}
        replace(new, slot=old.slot, files=files).write()
    if change == "successor":
        replace(new, product=replace(new.product, successor="0" * 64)).write()
    if change == "refuses":  # and nobody here can make another artifact
        promises = replace(old.product.promises, downgrades="refused")
        where = {"profile": "product.yaml", "profile_sha256": "0" * 64, "image": "disk.img"}
        by_others: dict[str, JsonValue] = {"builder": "finished", **where, "variants": {}}
        product = replace(old.product, promises=promises)
        replace(old, product=product, built=by_others).write()
    lab, output = tmp_path / "lab.yaml", tmp_path / "run"
    lab.write_text(LAB)
    if change == "output":
        output.mkdir()
        (output / "mine").touch()
    if change == "artifact":
        (new.folder / "slot.img").write_bytes(b"other")
    with pytest.raises(ConfigurationError, match=told):
        record(new.folder, old.folder, board=board, lab=lab, output=output)
    assert not output.with_name("run.partial").exists()
