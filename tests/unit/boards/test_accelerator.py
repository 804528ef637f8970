"""KVM is believed in once a guest has run under it: a device file alone says nothing."""

import platform
from pathlib import Path

import pytest

from harness.boards import lab_file
from harness.boards.lab import open_board
from harness.boards.qemu import accelerator
from harness.boards.qemu.accelerator import Accelerator, choose, tried, unusable
from harness.errors import ConfigurationError, LabError

OWN = {"x86_64": "qemu-system-i386", "aarch64": "qemu-system-aarch64"}
FOREIGN = {"x86_64": "qemu-system-aarch64", "aarch64": "qemu-system-i386"}
HOST = platform.machine()
LAB = """
targets:
  one:
    options: {{machine: m}}
    drivers:
      HarnessQemuDriver: {{qemu_bin: emulator, machine: pc, {more}}}
  rack: {{drivers: {{}}}}
tools: {{emulator: qemu-system-i386}}
"""


@pytest.fixture
def kvm(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A host on which KVM runs, or does not, whatever this one is."""
    monkeypatch.setattr(accelerator, "unusable", lambda _: request.param)


@pytest.mark.parametrize(("program", "guest"), [(p, p.split("-")[-1]) for p in OWN.values()])
def test_the_guest_speaks_where_guests_run(program: str, guest: str) -> None:
    """The control: that it says nothing under KVM is not the guest's own fault."""
    assert tried(program, guest, Accelerator.TCG) == ""


def test_a_guest_that_says_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    mute = (accelerator._PC[0], accelerator._PC[1].replace(b"\xb0K\xee", b"\xb0L\xee"))
    monkeypatch.setitem(accelerator._GUESTS, "i386", mute)
    assert "no guest runs: it says nothing" in tried("qemu-system-i386", "i386", Accelerator.TCG)


def test_another_architecture_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "tried", lambda *_: pytest.fail("was started"))
    told = unusable(FOREIGN[HOST])
    assert told.startswith(f"a {HOST} host cannot execute what a ")


def test_it_is_tried_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def no(program: str, *_: object) -> str:
        asked.append(program)
        return "no"

    monkeypatch.setattr(accelerator, "tried", no)
    program = f"/elsewhere/{OWN[HOST]}"
    assert unusable(program) == unusable(program) == "no"
    assert asked == [program]


def test_here_auto_takes_kvm_where_a_guest_runs_and_only_there() -> None:
    """On a host where /dev/kvm opens and no guest runs, too."""
    runs = not tried(OWN[HOST], OWN[HOST].split("-")[-1], Accelerator.KVM)
    assert choose(Accelerator.AUTO, OWN[HOST]) == ("kvm" if runs else "tcg")
    assert choose(Accelerator.AUTO, FOREIGN[HOST]) == "tcg"


@pytest.mark.parametrize("kvm", ["", "no guest runs: why"], indirect=True)
@pytest.mark.usefixtures("kvm")
def test_what_is_asked_for(request: pytest.FixtureRequest) -> None:
    problem = request.node.callspec.params["kvm"]
    assert choose(Accelerator.TCG, "qemu") == "tcg"
    assert choose(Accelerator.AUTO, "qemu") == ("tcg" if problem else "kvm")
    if not problem:
        assert choose(Accelerator.KVM, "qemu") == "kvm"
        return
    with pytest.raises(LabError, match="accel: kvm: qemu: no guest runs: why") as caught:
        choose(Accelerator.KVM, "qemu")
    assert "accel: auto" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "extra", "refused"),
    [
        ("tcg", "tcg,thread=single", False),
        ("tcg", "kvm", True),
        ("auto", "tcg,thread=single", True),
    ],
)
def test_further_arguments_may_only_refine_it(asked: str, extra: str, *, refused: bool) -> None:
    words = ["-device", "x", "-accel", extra]
    if not refused:
        assert choose(Accelerator(asked), "qemu", words) == "tcg"
        return
    with pytest.raises(ConfigurationError, match="extra_args: -accel"):
        choose(Accelerator(asked), "qemu", words)


@pytest.mark.parametrize("kvm", [""], indirect=True)
@pytest.mark.parametrize(
    ("more", "found"),
    [("memory: 16M", "tcg"), ("accel: tcg", "tcg"), ("accel: auto", "kvm"), ("accel: xen", "")],
)
@pytest.mark.usefixtures("kvm")
def test_the_lab_file_says_which_before_a_board_is_opened(
    tmp_path: Path, more: str, found: str
) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(LAB.format(more=more))
    read = lab_file.load(lab)
    assert read.accelerator(lab, "rack") == ""
    if found:
        assert read.accelerator(lab, "one@7") == found
        return
    with pytest.raises(ConfigurationError, match=r"HarnessQemuDriver\.accel: 'xen' is none of"):
        read.accelerator(lab, "one")


def test_a_board_says_which_it_has(lab: Path) -> None:
    with open_board(lab, "one") as board:
        assert board.can.record.accelerator == "tcg"
