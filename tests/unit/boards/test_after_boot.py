"""What is asked of a board once in each boot."""

import subprocess
from pathlib import Path

from harness.boards.hardware import after_boot

SAID = """mmc0: error -110 whilst initialising SDIO card
mmc1: card status error -84
I/O error, dev mmcblk1, sector 1
all is well
"""


def looked(root: Path) -> list[str]:
    script = "dmesg() { cat " + str(root / "log") + "; }\n" + after_boot._LOOK
    script = script.replace("/sys/", f"{root}/sys/")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "error" in line]


def test_only_a_controller_that_has_a_card_tells_of_the_card(tmp_path: Path) -> None:
    """The WiFi of a Pi is an SDIO device, at a controller of its own."""
    (tmp_path / "log").write_text(SAID)
    assert looked(tmp_path) == ["I/O error, dev mmcblk1, sector 1"]
    (tmp_path / "sys/devices/mmc1:0001").mkdir(parents=True)
    (tmp_path / "sys/block/mmcblk1").mkdir(parents=True)
    (tmp_path / "sys/block/mmcblk1/device").symlink_to(tmp_path / "sys/devices/mmc1:0001")
    assert looked(tmp_path) == SAID.splitlines()[1:3]
