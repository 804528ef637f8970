"""A virtual bench of our own, whose board's guest is one sector (`tests.unit.boards.guest`)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.simulate import commands
from tests.unit.boards import guest
from tests.unit.boards.conftest import LAB
from tests.unit.simulate.virtual import Simulated, simulated

# Another bench for each worker of pytest-xdist.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NETWORK = f"127.0.{77 + _WORKER}"
STORAGE = f"/dev/loop{178 + 10 * _WORKER}"
PLACE = "gateway-rack-1"  # as in labs/rack.yaml
RACK = f"""
imports: [harness.boards.strategy]
options: {{coordinator_address: "{NETWORK}.1:20408"}}
targets:
  {PLACE}:
    options:
      machine: sector
      virtual: true
      share: http://{NETWORK}.2/share/{PLACE}
      boot_banner: boot
      relay_timeout: 5
      card_serial: VCARD-77
    resources:
      RemotePlace: {{name: {PLACE}}}
    drivers:
      NetworkPowerDriver: {{}}
      SerialDriver: {{}}
      USBSDMuxDriver: {{}}
      USBStorageDriver: {{}}
      ShellDriver: {{prompt: '# ', login_prompt: 'boot', username: root, login_timeout: 3}}
      GatewayStrategy: {{bootloader: boot, bootloader_timeout: 20}}
simulate:
  network: {NETWORK}
  relay: {{latency: 0.02, jitter: 0.01}}
  first_loop: {177 + 10 * _WORKER}
  boards:
    {PLACE}:
      {{plays: one, lab: played.yaml, machine: sector, card: 8M, card_serial: VCARD-77}}
"""

needs_bench = pytest.mark.skipif(
    (os.geteuid() != 0 or not shutil.which("rsync") or not Path("/usr/sbin/sshd").exists())
    and not os.environ.get("CI"),
    reason="the virtual bench needs root, openssh-server and rsync",
)


@pytest.fixture(scope="module")
def rack_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rack")
    (folder / "played.yaml").write_text(LAB)
    (folder / "disk.img").write_bytes(guest.image())
    file = folder / "rack.yaml"
    file.write_text(RACK)
    return file


@pytest.fixture(scope="module")
def bench(rack_lab: Path) -> Iterator[Simulated]:
    """Up, its board off, its card empty."""
    with simulated(rack_lab) as running:
        yield running


@pytest.fixture(scope="module")
def flashed(bench: Simulated) -> Simulated:
    """With the guest on its card."""
    (mux,) = bench.cache.glob(f"virtual/*/{PLACE}.mux")
    commands.tell(mux, "host")
    with Path(STORAGE).open("r+b") as card:
        card.write(guest.image())
    commands.tell(mux, "dut")
    return bench
