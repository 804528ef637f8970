"""Lab files that need a coordinator, used as they stand on a virtual bench: by labgrid's client,
and by pytest with labgrid's own fixtures."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from labgrid.remote.config import ResourceConfig

from harness.simulate import rack_file
from tests.unit.simulate.conftest import NETWORK, PLACE, needs_bench
from tests.unit.simulate.virtual import ENVIRONMENT, Simulated

pytestmark = needs_bench

LABS = Path(__file__).parents[3] / "labs"
USERS_TEST = """
def test_a_boot_of_mine(strategy, target):
    strategy.image = "IMAGE"
    strategy.transition("flashed")
    power = target.get_driver("PowerProtocol")
    assert not power.get()
    assert target.get_driver("USBSDMuxDriver").get_mode() == "dut"
    strategy.transition("bootloader")
    assert power.get()
    strategy.transition("off")
"""


def test_the_rack_works_through_a_coordinator(flashed: Simulated) -> None:
    """labs/rack.yaml as it stands: its place, its drivers, its strategy."""
    words = ["-x", f"{NETWORK}.1:20408", "-p", PLACE]
    rack = Simulated(LABS / "rack.yaml", flashed.process, flashed.cache)
    rack.client(*words, "acquire")
    try:
        assert "is off" in rack.client(*words, "-s", "off", "power", "get")
        assert "dut" in rack.client(*words, "sd-mux", "get")
    finally:
        rack.client(*words, "release")


def test_the_exporters_half_fits_to_the_clients() -> None:
    """Same group as the place, and of what the client's drivers bind."""
    groups = ResourceConfig(str(LABS / "rack-exporter.yaml")).data
    client = yaml.safe_load((LABS / "rack.yaml").read_text())["targets"]
    assert set(groups) == {each["resources"]["RemotePlace"]["name"] for each in client.values()}
    for group in groups.values():
        assert set(group) == {
            "NetworkPowerPort", "USBSerialPort", "USBSDMuxDevice", "NetworkService",
        }  # fmt: skip


def _ran(desk: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """The user's test, by pytest and labgrid's own plugin."""
    (folder / "desk.yaml").write_text(yaml.safe_dump(desk, sort_keys=False))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    argv += ["--lg-env", "desk.yaml", "--lg-coordinator", f"{NETWORK}.1:20408"]
    argv += ["--lg-log", str(folder / "logs")]
    return subprocess.run(
        argv, cwd=folder, env=ENVIRONMENT, timeout=240, capture_output=True, text=True, check=False
    )


def test_a_users_own_test_with_the_desks_file(flashed: Simulated, tmp_path: Path) -> None:
    """labs/bench.yaml but for its USB devices, which are another bench's here: target `main`, our
    strategy, `--lg-env`, `--lg-coordinator`, `--lg-log`."""
    desk = yaml.safe_load((LABS / "bench.yaml").read_text())
    main = desk["targets"]["main"]
    main["resources"] = {"RemotePlace": {"name": PLACE}}
    del main["drivers"]["USBPowerDriver"]
    main["drivers"] = {"NetworkPowerDriver": {}, **main["drivers"]}  # labgrid binds in this order
    main["options"]["boot_banner"] = "boot"  # the guest's
    image = flashed.lab.parent / "disk.img"
    (tmp_path / "test_mine.py").write_text(USERS_TEST.replace("IMAGE", str(image)))
    flashed.client("-p", PLACE, "acquire")
    try:
        done = _ran(desk, tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "its serial is VCARD-77, not 00012" in done.stdout  # the desk's card is another one
        main["options"]["card_serial"] = "VCARD-77"
        done = _ran(desk, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        assert b"boot" in b"".join(file.read_bytes() for file in (tmp_path / "logs").iterdir())
    finally:
        flashed.client("-p", PLACE, "release")


def test_the_virtual_racks_boards_are_those_that_are_played() -> None:
    lab = LABS / "virtual-rack.yaml"
    rack = rack_file.load(lab)
    targets = yaml.safe_load(lab.read_text())["targets"]
    assert set(targets) == set(rack.boards)
    for name, spec in rack.boards.items():
        options = targets[name]["options"]
        assert options["virtual"] is True
        assert (options["machine"], options["card_serial"]) == (spec.machine, spec.card_serial)
