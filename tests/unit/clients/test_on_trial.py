"""Nothing commits what is on trial and was not judged well, whatever else of it is broken.

Whether it is on trial is the bootloader's word (`gateway.trial`), and never what cannot be read.
"""

from pathlib import Path

import pytest

from harness.builders.debian import recipe
from harness.clients.selection_format import selection_format
from tests.unit.clients.board import LocalBoard
from tests.unit.clients.test_device_scripts import PROGRAMS, ship
from tests.unit.clients.test_health import IMAGES, MENDER, Device, machines

UNREACHABLE = '[ "$trial" != yes ] || { echo no answer; exit 1; }'  # what only a trial is asked


def without_link(device: Device) -> None:
    """udev makes no link to the disk: nobody finds the boot selection."""
    root = device.board.root
    config = root / "etc/fw_env.config"
    if device.machine == "rpi4":
        config.write_text(config.read_text().replace(f"{root}/disk", f"{root}/no-disk"))
    else:
        device.board.environment["BOOT_SELECTION_DEVICE"] = ""


def committed_copies(device: Device) -> list[str]:
    """What the copies on the medium say of slot B, where they say that it stays."""
    name, *places = device.places
    content = (device.board.root / "disk").read_bytes()
    said = [selection_format(name).parse(content[at : at + size]) for at, size in places]
    return [str(each) for each in said if each and str(each.slots["B"]) == "good/3"]


@machines
@pytest.mark.parametrize("words", ["gateway.trial=1 ", ""], ids=["told", "not-told"])
def test_who_cannot_find_the_boot_selection_is_left(
    tmp_path: Path, machine: str, words: str
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True, words=words)
    without_link(device)
    said = device.boot()
    assert said == "gateway-health: slot B: not rolled back: the update client could not commit\n"
    assert device.board.calls().endswith("systemctl reboot\n")
    assert not committed_copies(device)


@machines
def test_who_is_not_well_and_cannot_find_it_says_why(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.healthy(2, "service x has failed")
    without_link(device)
    assert device.boot() == "gateway-health: slot B: not rolled back: service x has failed\n"
    assert device.board.calls().endswith("systemctl reboot\n")


@pytest.mark.parametrize("well", [True, False])
def test_who_cannot_read_a_checksum_commits_nothing(tmp_path: Path, well: bool) -> None:
    """A version without gzip takes both copies for torn."""
    device = Device(tmp_path, "rpi4", slot="B", trial=True)
    device.looks("exit 0" if well else UNREACHABLE)
    device.board.program("gzip", "#!/bin/sh\nexit 127\n")
    assert "rolled back: " in device.boot()
    assert device.board.calls().endswith("systemctl reboot\n")
    assert (device.selection.primary, device.selection.on_trial) == ("A", None)


@machines
@pytest.mark.parametrize("call", [1, 2])
def test_who_cannot_read_it_once_is_judged_all_the_same(
    tmp_path: Path, machine: str, call: int
) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    (tmp_path / "bin/boot-selection").rename(tmp_path / "bin/really")
    once = f"echo >>$DEVICE/asked; [ $(wc -l <$DEVICE/asked) != {call} ] || exit 1"
    device.board.program("boot-selection", f'#!/bin/sh\n{once}\nexec really "$@"\n')
    device.looks(UNREACHABLE)
    assert "rolled back: no answer" in device.boot()
    assert device.board.calls().endswith("systemctl reboot\n")
    assert not committed_copies(device)


@pytest.mark.parametrize("well", [True, False])
def test_mender_commits_nothing_that_was_not_asked_for(tmp_path: Path, well: bool) -> None:
    """The state scripts lie on the data partition; one that was made anew has lost them."""
    device = Device(tmp_path, "rpi4", slot="B", trial=True)
    unasked = MENDER.replace("&& sh $DEVICE/bin/ArtifactCommit_Enter_00", "")
    assert unasked != MENDER
    device.board.program("mender", unasked)
    device.looks("exit 0" if well else "echo data partition is not mounted; exit 1")
    left = "rolled back: data partition is not mounted"
    assert device.boot() == f"gateway-health: slot B: {'ok' if well else left}\n"
    assert device.looked > 0
    assert device.selection.primary == ("B" if well else "A")


@machines
def test_a_commit_that_was_made_in_this_boot_stays(tmp_path: Path, machine: str) -> None:
    """The health check was ended before it had said so; the bootloader's word is still that of
    the boot."""
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.boot()
    (tmp_path / "run/gateway-health").unlink()
    assert device.boot() == "gateway-health: slot B: ok\n"
    assert (device.selection.primary, str(device.selection.slots["B"])) == ("B", "good/3")
    assert "reboot" not in device.board.calls()


@machines
def test_once_a_boot(tmp_path: Path, machine: str) -> None:
    """A health check that is started again has nothing to say, whatever has become of the rest."""
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.boot()
    device.healthy(2, "service x has failed")
    assert device.boot() == "gateway-health: slot B: ok\n"
    assert str(device.selection.slots["B"]) == "good/3"


@machines
@pytest.mark.parametrize("code", [0, 1])
def test_what_is_committed_stays_without_its_boot_selection(
    tmp_path: Path, machine: str, code: int
) -> None:
    """No reboot: a disk that fails would make a gateway loop."""
    device = Device(tmp_path, machine, slot="A", trial=False)
    device.healthy(code, "data partition is not mounted" if code else "")
    without_link(device)
    why = "data partition is not mounted" if code else "the boot selection cannot be written"
    assert device.boot() == f"gateway-health: slot A: degraded: {why}\n"
    assert "reboot" not in device.board.calls()


@machines
def test_a_trial_is_never_settled(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    assert device.board.run("/usr/lib/gateway/client settle", timeout=20).returncode != 0
    assert device.selection.on_trial == "B"


@machines
@pytest.mark.parametrize("words", ["gateway.trial=1 ", "gateway.trial=0 ", ""])
@pytest.mark.parametrize("trial", [True, False])
def test_the_word_of_the_bootloader_decides(
    tmp_path: Path, machine: str, words: str, trial: bool
) -> None:
    """Of an older one, which has none, the boot selection."""
    slot = "B" if trial else "A"
    device = Device(tmp_path, machine, slot=slot, trial=trial, words=words)
    found = device.board.run("/usr/lib/gateway/committed", timeout=20).returncode == 0
    assert found == ("=0" in words or (not words and not trial))


@machines
def test_a_slot_that_is_called_bad_is_not_on_trial(tmp_path: Path, machine: str) -> None:
    """It runs because the other one does not load: going back to that would be a loop."""
    device = Device(tmp_path, machine, slot="A", trial=False, words="")
    device.board.run("boot-selection reject A || boot-selection select B", timeout=5)
    assert str(device.selection.slots["A"]).startswith("bad")
    assert device.board.run("/usr/lib/gateway/committed", timeout=20).returncode == 0


@machines
def test_what_is_broken_is_no_word(tmp_path: Path, machine: str) -> None:
    device = Device(tmp_path, machine, slot="B", trial=True)
    device.looks(UNREACHABLE)
    device.board.program("lib-committed", "#!/bin/sh\nexit 127\n")
    assert "rolled back: no answer" in device.boot()


@pytest.mark.parametrize(
    ("words", "health", "copies", "why"),
    [
        ("gateway.trial=0", "ok", "whole", ""),
        ("gateway.trial=0", "degraded: x", "whole", ""),
        ("gateway.trial=0", "ok", "lost", "(its slot is 'trial')"),
        ("gateway.trial=1", "ok", "whole", ""),
        ("gateway.trial=1", "ok", "lost", "(its slot is 'trial')"),
        ("gateway.trial=1", "not rolled back: x", "whole", "was on trial: not rolled back: x"),
    ],
)
def test_nothing_is_installed_over_what_was_not_judged_well(
    tmp_path: Path, words: str, health: str, copies: str, why: str
) -> None:
    board = LocalBoard(tmp_path)
    ship(board)
    (tmp_path / "proc/cmdline").write_text(f"gateway.slot=A {words} root=PARTUUID=1-02\n")
    (tmp_path / "run/gateway-health").write_text(f"{health}\n")
    if copies == "lost":
        (tmp_path / "disk").write_bytes(bytes(1 << 20))
    board.environment |= {"GATEWAY_UPDATE_TRIES": "1"}
    assert PROGRAMS["gateway-update"].exists()
    done = board.run("gateway-update install http://127.0.0.1:9/x", timeout=30)
    assert (why or "download not complete") in done.stderr


@machines
def test_a_version_whose_slots_have_no_name_is_otherwise_well(machine: str) -> None:
    """The variant of `bad-update[no-udev]`: the data partition must be found, or it would be the
    health check that leaves it."""
    variant = recipe.load(IMAGES / machine).variants["no-udev"].overlay
    assert isinstance(variant, Path)
    [bad] = (path for path in variant.rglob("*") if path.is_file())
    [good] = (
        found
        for folder in recipe.load(IMAGES / machine).overlay
        if (found := folder / bad.relative_to(variant)).exists()
    )
    taken = [line for line in _rules(good) if line not in _rules(bad)]
    assert [line.count("SYMLINK+=") for line in taken] == [1]
    links = [line for line in _rules(bad) if "SYMLINK" in line]
    assert [line.count('ATTR{partition}=="4"') for line in links] == [1] * len(links)


def _rules(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]
