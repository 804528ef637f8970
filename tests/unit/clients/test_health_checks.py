"""What the images' health check looks at, and what it costs: images/common/.../health-checks."""

from pathlib import Path

import pytest

from tests.unit.clients.board import LocalBoard

SCRIPT = Path(__file__).parents[3] / "images/common/overlay/usr/lib/gateway/health-checks"
BOOT = "proc/sys/kernel/random/boot_id"


@pytest.fixture
def board(tmp_path: Path) -> LocalBoard:
    """A device that is well, with an update server that answers."""
    found = LocalBoard(tmp_path)
    (tmp_path / BOOT).parent.mkdir(parents=True)
    (tmp_path / BOOT).write_text("first boot\n")
    (tmp_path / "data/config").mkdir()
    (tmp_path / "data/config/update-server").write_text("http://server\n")
    found.program("systemctl", "#!/bin/sh\ntest $1 = is-active\n")
    found.program("mountpoint", "#!/bin/sh\n")
    found.program("curl", '#!/bin/sh\necho "curl $*" >>"$DEVICE/calls"\necho ok\n')
    found.program("health-checks", found.moved(SCRIPT.read_text()))
    found.environment |= {"SERVICES": "agent", "trial": "yes"}
    return found


def checked(board: LocalBoard) -> tuple[int, str]:
    done = board.run("health-checks", timeout=10)
    return done.returncode, done.stdout.strip()


def test_a_device_that_is_well_says_nothing(board: LocalBoard) -> None:
    assert checked(board) == (0, "")
    assert "http://server/health" in board.calls()


def test_the_data_partition_is_written_in_place(board: LocalBoard) -> None:
    """No file is made or deleted from the second boot on: that would be a transaction each time."""
    checked(board)
    before = (board.root / "data/.health").stat()
    (board.root / BOOT).write_text("other boot\n")
    assert checked(board) == (0, "")
    after = (board.root / "data/.health").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size) == (after.st_ino, 4096)
    assert (board.root / "data/.health").read_text().strip() == "other boot"


def test_what_cannot_be_written_is_not_well(board: LocalBoard) -> None:
    (board.root / "data/.health").mkdir()
    assert checked(board) == (1, "data partition is not writable")


def test_what_reads_back_otherwise_is_not_well(board: LocalBoard) -> None:
    (board.root / "data/.health").symlink_to("/dev/null")
    assert checked(board) == (1, "data partition is not writable")


def test_a_server_that_is_silent_costs_no_write(board: LocalBoard) -> None:
    board.program("curl", "#!/bin/sh\nexit 7\n")
    assert checked(board) == (1, "update server http://server does not answer")
    assert not (board.root / "data/.health").exists()


def test_only_a_version_on_trial_must_reach_its_server(board: LocalBoard) -> None:
    board.program("curl", "#!/bin/sh\nexit 7\n")
    board.environment["trial"] = "no"
    assert checked(board) == (0, "")


def test_a_service_that_systemd_gave_up_is_final(board: LocalBoard) -> None:
    board.program("systemctl", "#!/bin/sh\ntest $1 = is-failed\n")
    assert checked(board) == (2, "service agent has failed")


@pytest.mark.parametrize(
    "says", ["echo '<p>log in</p>'", "echo okay", "echo ok; exit 22", "exit 7"]
)
def test_only_the_word_of_the_server_is_an_answer(board: LocalBoard, says: str) -> None:
    """A portal answers in the name of any server, and with a status that is good."""
    board.program("curl", f"#!/bin/sh\n{says}\n")
    assert checked(board) == (1, "update server http://server does not answer")
