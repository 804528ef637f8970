"""A device that is driven by the commands of a profile, on a board whose shell is this host's."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.clients.boot_selection import Slot
from harness.clients.outside import OutsideClient
from harness.errors import DeviceError
from harness.product.profile import DeviceCommands
from tests.unit.clients.board import LocalBoard

DEVICE = DeviceCommands(
    version="cat /etc/version",
    slot="cat /run/slot",
    well="test -e /run/well || { echo it is not; false; }",
    install="cp /etc/new /data/bundle && updater {url}",
    installed="^done$",
)
RAUC = (
    '{"compatible":"c","variant":"","booted":"B","boot_primary":"rootfs.1","slots":[],'
    '"artifact-repositories":[]}'
)


class RebootingBoard(LocalBoard):
    """Reboots when somebody has waited for that `after` times."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.boots, self.after, self.waits = 1, -1, 0

    def wait_boots(self, count: int, timeout: float) -> None:
        self.waits += 1
        if self.waits != self.after:
            raise DeviceError("no reboot")
        self.boots = count


@pytest.fixture
def board(tmp_path: Path) -> RebootingBoard:
    made = RebootingBoard(tmp_path)
    (tmp_path / "etc/version").write_text("1.0.0\n")
    (tmp_path / "etc/new").write_text("bundle")
    (tmp_path / "run/slot").write_text("A\n")
    (tmp_path / "run/well").touch()
    return made


def client_of(
    board: LocalBoard, device: DeviceCommands = DEVICE, *, client: str = "x"
) -> OutsideClient:
    return OutsideClient(board, device, client=client)


def updater(board: LocalBoard, *, says: str = "done", code: int = 0) -> None:
    board.program("updater", f'#!/bin/sh\necho "$1" >$DEVICE/url\necho "{says}"\nexit {code}\n')


def test_what_runs(board: RebootingBoard) -> None:
    status = client_of(board).status(timeout=10)
    assert (status.version, status.slot, status.health) == ("1.0.0", Slot.A, "ok")
    assert status.boot_selection is None  # nobody's word


def test_what_is_not_well_says_why(board: RebootingBoard) -> None:
    (board.root / "run/well").unlink()
    assert client_of(board).status(timeout=10).health == "it is not"


def test_the_slot_in_raucs_words(board: RebootingBoard) -> None:
    board.program("rauc", f"#!/bin/sh\necho '{RAUC}'\n")
    asked = client_of(board, replace(DEVICE, slot=""), client="rauc")
    assert asked.status(timeout=10).slot is Slot.B


@pytest.mark.parametrize("says", ["", "C", "A\nB", "A B"])
def test_a_slot_that_makes_no_sense(board: RebootingBoard, says: str) -> None:
    (board.root / "run/slot").write_text(says)
    with pytest.raises(DeviceError, match="slot"):
        client_of(board).status(timeout=10)


def test_an_acknowledged_install(board: RebootingBoard) -> None:
    updater(board)
    result = client_of(board).install("http://h:1/it's a b&c", timeout=10)
    assert (result.ok, result.output) == (True, "done\n")
    assert (board.root / "url").read_text() == "http://h:1/it's a b&c\n"


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [("done", 1, "done"), ("almost done", 0, "does not say '^done$'"), ("", 0, "does not say")],
)
def test_what_is_no_acknowledgement(
    board: RebootingBoard, says: str, code: int, message: str
) -> None:
    updater(board, says=says, code=code)
    result = client_of(board).install("http://h:1/x", timeout=10)
    assert not result.ok
    assert message in result.message


def test_one_install_at_a_time(board: RebootingBoard) -> None:
    board.program("updater", "#!/bin/sh\nwhile [ ! -e $DEVICE/go ]; do sleep 0.1; done\n")
    client = client_of(board)
    client.start_install("http://h:1/x")
    board.until((board.root / "run/harness-install.pid").exists)
    with pytest.raises(DeviceError, match="exit code 1"):
        client.start_install("http://h:1/y")
    (board.root / "go").touch()
    assert client.wait_install(timeout=10).returncode == 0


def test_an_install_that_was_killed(board: RebootingBoard) -> None:
    board.program("updater", "#!/bin/sh\nkill -9 0\n")
    with pytest.raises(DeviceError, match="exit code"):
        client_of(board).install("http://h:1/x", timeout=15)


def test_well_is_waited_for(board: RebootingBoard) -> None:
    (board.root / "run/well").unlink()
    device = replace(DEVICE, well=f"{DEVICE.well} || {{ touch /run/well; false; }}")
    assert client_of(board, device).await_health(20, boot=1) == "slot A: ok"


def test_what_is_well_and_never_committed_is_not_well(board: RebootingBoard) -> None:
    device = replace(DEVICE, committed="test -e /run/committed")
    with pytest.raises(DeviceError, match="not well within"):
        client_of(board, device).await_health(1, boot=1)
    assert client_of(board, device).status(timeout=10).health == "well, and not committed"
    (board.root / "run/committed").touch()
    assert client_of(board, device).await_health(20, boot=1) == "slot A: ok"


def test_the_harness_commits_where_nobody_else_does(board: RebootingBoard) -> None:
    device = replace(DEVICE, commit="touch /run/committed", committed="test -e /run/committed")
    assert client_of(board, device).await_health(20, boot=1) == "slot A: ok"


def test_a_reboot_ends_the_wait(board: RebootingBoard) -> None:
    (board.root / "run/well").unlink()
    board.after = 2
    with pytest.raises(DeviceError):
        client_of(board).await_health(60, boot=1)
    assert board.waits == 2
