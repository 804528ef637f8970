"""The clients' real shell commands, on a board with fake device programs."""

import os
import time
from pathlib import Path

import pytest

from harness.clients.boot_selection import Slot
from harness.clients.mender import MenderClient
from harness.clients.rauc import RaucClient
from harness.clients.registry import make_client
from harness.errors import ConfigurationError, DeviceError
from tests.unit.clients.board import LocalBoard
from tests.unit.clients.test_boot_selection import SELECTION, SHOW

URL = "http://10.0.2.2:4711/it's a b&c.raucb"

# What `rauc install` 1.8 prints (src/main.c) for a bundle of another signer.
REFUSED = """\
  0% Installing
 40% Verifying signature failed.
 40% Checking bundle failed.
100% Installing failed.
LastError: signature verification failed: Verify error: unable to get local issuer certificate
Installing `/data/updates/x.part` failed
"""


@pytest.fixture
def board(tmp_path: Path) -> LocalBoard:
    return LocalBoard(tmp_path)


@pytest.fixture
def client(board: LocalBoard) -> RaucClient:
    return RaucClient(board)


def installs(board: LocalBoard, *, code: int = 0, says: str = "done\n", first: str = "") -> None:
    """Give the board a gateway-update that ends like this."""
    (board.root / "says").write_text(says)
    board.program(
        "gateway-update",
        f'#!/bin/sh\necho "$2" >$DEVICE/url\n{first}\ncat $DEVICE/says\nexit {code}\n',
    )


def test_an_installed_update(board: LocalBoard, client: RaucClient) -> None:
    installs(board)
    result = client.install(URL, timeout=10)
    assert (result.ok, result.output, result.returncode) == (True, "done\n", 0)
    assert (board.root / "url").read_text() == URL + "\n"
    assert "--unit=harness-install" in board.calls()


def test_a_refused_bundle_is_a_result_with_raucs_words(
    board: LocalBoard, client: RaucClient
) -> None:
    installs(board, code=1, says=REFUSED)
    result = client.install(URL, timeout=10)
    assert not result.ok
    assert result.message == (
        "signature verification failed: Verify error: unable to get local issuer certificate"
    )
    assert result.output == REFUSED


def test_without_raucs_words_the_last_line_is_the_message(
    board: LocalBoard, client: RaucClient
) -> None:
    installs(board, code=1, says="a\ndownload not complete\n")
    assert client.install(URL, timeout=10).message == "download not complete"


def test_start_returns_at_once_and_wait_waits(board: LocalBoard, client: RaucClient) -> None:
    installs(board, first="until [ -e $DEVICE/go ]; do sleep 0.05; done")
    began = time.monotonic()
    client.start_install(URL)
    assert time.monotonic() - began < 1
    with pytest.raises(DeviceError, match="took longer"):
        client.wait_install(timeout=0.7)
    (board.root / "go").touch()
    assert client.wait_install(timeout=10).ok


def test_a_second_start_leaves_the_first_one_alone(board: LocalBoard, client: RaucClient) -> None:
    installs(board, first="until [ -e $DEVICE/go ]; do sleep 0.05; done")
    client.start_install(URL)
    board.until((board.root / "run/harness-install.log").exists)
    board.program("systemctl", '#!/bin/sh\n[ "$*" = "--quiet is-active harness-install" ]\n')
    with pytest.raises(DeviceError, match="command failed") as error:
        client.start_install(URL)
    assert "an installation is running" in error.value.details
    (board.root / "go").touch()
    assert client.wait_install(timeout=10).ok


def test_the_result_of_an_earlier_install_is_not_taken(
    board: LocalBoard, client: RaucClient
) -> None:
    installs(board)
    assert client.install(URL, timeout=10).ok
    installs(board, code=1, first="sleep 0.3")
    assert not client.install(URL, timeout=10).ok


def test_a_killed_install_is_a_failure_of_the_device(board: LocalBoard, client: RaucClient) -> None:
    installs(board, first="sleep 60")
    client.start_install(URL)
    pid = board.root / "run/harness-install.pid"
    board.until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    os.killpg(int(pid.read_text()), 9)
    with pytest.raises(DeviceError, match="command failed"):
        client.wait_install(timeout=10)


def test_a_dead_link_is_a_device_error(board: LocalBoard, client: RaucClient) -> None:
    board.dead = True
    for call in (client.status, client.boot_selection, client.reboot, client.wait_install):
        with pytest.raises(DeviceError, match="connection lost"):
            call(1)
    with pytest.raises(DeviceError, match="connection lost"):
        client.install(URL, 1)


def device_says(board: LocalBoard, *, variant: str = "", slot: str = "B") -> None:
    """Give the board its programs and files, as the image has them."""
    pairs = (line.partition("=") for line in SHOW.splitlines())
    selection = ", ".join(f'"{key}": "{value}"' for key, _, value in pairs)
    (board.root / "etc/gateway-release").write_text(f"VERSION=1.1.0\nVARIANT='{variant}'\n")
    answer = (
        f'{{"version": "1.1.0", "slot": "{slot}", "boot_selection": {{{selection}}}, '
        '"health": "degraded: no network"}'
    )
    board.program("gateway-update", f"#!/bin/sh\necho '{answer}'\n")
    board.program("boot-selection", f"#!/bin/sh\ncat <<'END'\n{SHOW}END\n")


def test_status(board: LocalBoard, client: RaucClient) -> None:
    device_says(board)
    status = client.status(timeout=5)
    assert (status.version, status.variants, status.update_server) == ("1.1.0", (), "")
    assert (status.slot, status.other_slot) == (Slot.B, Slot.A)
    assert status.health == "degraded: no network"
    assert status.boot_selection == SELECTION == client.boot_selection(timeout=5)


@pytest.mark.parametrize("variant", ["no-network,failing-service", "no-network failing-service"])
def test_status_of_a_provisioned_variant(
    board: LocalBoard, client: RaucClient, variant: str
) -> None:
    device_says(board, variant=variant)
    client.provision("http://10.0.2.2:4711")
    status = client.status(timeout=5)
    assert status.variants == ("no-network", "failing-service")
    assert status.update_server == "http://10.0.2.2:4711"


def test_nonsense_is_a_device_error(board: LocalBoard, client: RaucClient) -> None:
    device_says(board, slot="C")
    with pytest.raises(DeviceError, match="does not say what it runs"):
        client.status(timeout=5)
    board.program("boot-selection", "#!/bin/sh\necho 'order=A A'\n")
    with pytest.raises(DeviceError, match="does not say its boot selection"):
        client.boot_selection(timeout=5)
    board.program("boot-selection", "#!/bin/sh\necho no device >&2; exit 1\n")
    with pytest.raises(DeviceError, match="exit code 1") as caught:
        client.boot_selection(timeout=5)
    assert "no device" in caught.value.details


def test_reboot_is_asked_of_systemd_a_moment_later(board: LocalBoard, client: RaucClient) -> None:
    client.reboot(timeout=5)
    assert "--on-active=0.5" in board.calls()
    assert board.calls().endswith("systemctl reboot\n")


def test_clients_by_name(board: LocalBoard) -> None:
    assert isinstance(make_client("rauc", board), RaucClient)
    assert isinstance(make_client("mender", board), MenderClient)
    with pytest.raises(ConfigurationError, match="'swupdate'") as caught:
        make_client("swupdate", board)
    assert "harness.clients: mender, rauc" in caught.value.hint


# What Mender 3.4.0 prints for an artifact of another signer.
MENDER_REFUSED = """\
time="2023-11-14T22:13:20Z" level=info msg="Start updating from local image file: [/data/x.part]"
Installing Artifact of size 1234...
time="2023-11-14T22:13:21Z" level=error msg="Reading headers failed: installer: failed to read"
time="2023-11-14T22:13:21Z" level=error msg="installer: \\"sig\\" does not verify"
gateway-update: update refused or not installed; deleted
"""


def test_a_refused_artifact_is_a_result_with_menders_words(board: LocalBoard) -> None:
    installs(board, code=1, says=MENDER_REFUSED)
    result = MenderClient(board).install(URL, timeout=10)
    assert not result.ok
    assert result.message == 'installer: "sig" does not verify'


# What mender-update 5.0.0 prints for the same.
MENDER_5_REFUSED = """\
record_id=1 severity=info time="2026-Nov-27 23:55:58.590001" name="Global" msg="Installing"
record_id=2 severity=error time="2026-Nov-27 23:55:58.607006" name="Global" msg="Signature \
verification Error: Wrong manifest signature or wrong key"\x20
Streaming failed.
System not modified.
Could not fulfill request: Signature verification Error: Wrong manifest signature or wrong key
"""


def test_the_words_of_the_client_that_is_called_mender_update(board: LocalBoard) -> None:
    installs(board, code=1, says=MENDER_5_REFUSED)
    result = MenderClient(board).install(URL, timeout=10)
    assert not result.ok
    assert result.message == "Signature verification Error: Wrong manifest signature or wrong key"
