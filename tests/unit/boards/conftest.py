"""A lab with two boards whose guest is one sector: real QEMU, real nbdkit, no image to build."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.board import Board
from harness.boards.lab import open_board
from tests.unit.boards import guest

LAB = """
imports: [harness.boards.qemu.driver, harness.boards.strategy]
targets:
  one: &board
    options: {machine: sector}
    resources:
      HarnessMedium: {model: disk}
    drivers:
      HarnessQemuDriver: {qemu_bin: qemu-system-i386, machine: pc, memory: 16M}
      ShellDriver: {prompt: '# ', login_prompt: 'login: ', username: root}
      GatewayStrategy: {bootloader: boot, bootloader_timeout: 20}
  two: *board
  usb:
    options: {machine: sector}
    resources:
      HarnessMedium: {model: sd}
    drivers:
      HarnessQemuDriver:
        {qemu_bin: qemu-system-i386, machine: "pc,usb=on", memory: 16M, nic: "usb-net,port=1"}
      ShellDriver: {prompt: '# ', login_prompt: 'login: ', username: root}
      GatewayStrategy: {bootloader: boot, bootloader_timeout: 20}
  far:
    options: {machine: sector, listen: 192.0.2.7, host_address: 192.0.2.1}
    resources:
      HarnessMedium: {model: disk}
    drivers:
      HarnessQemuDriver: {qemu_bin: qemu-system-i386, machine: pc, memory: 16M}
      ShellDriver: {prompt: '# ', login_prompt: 'login: ', username: root}
      GatewayStrategy: {bootloader: boot, bootloader_timeout: 20}
  rack:
    resources: {}
    drivers: {}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    file = tmp_path / "lab.yaml"
    file.write_text(LAB)
    return file


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(guest.image())
    return file


@pytest.fixture
def board(lab: Path, image: Path) -> Iterator[Board]:
    """Flashed and off."""
    with open_board(lab, "one") as opened:
        opened.flash(image)
        yield opened
