"""The boot's way to a mounted data partition (images/common/.../data), with the real e2fsck.

Mounting needs root and loop devices.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults.storage import DataFault
from harness.process import run
from harness.product.layout import KEEP
from tests.unit.clients.data_partition import ID, KEY, SERVER, SIZE, URL, DataPartition

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")

SITE = {f"site/{number}": f"of the site {number}\n" for number in range(5)}
BACKUP = 32768 * 4096  # bytes: the only other superblock, and the descriptors behind it


def provisioned(root: Path) -> DataPartition:
    """Identity, settings, data of the site; the last of it only in the journal, power gone."""
    device = DataPartition(root)
    with device.mounted():
        for folder in ("ssh", "config", "site"):
            (device.data / folder).mkdir()
        device.provisioned()
    with device.mounted():
        for name, text in SITE.items():
            (device.data / name).write_text(text)
            run(["sync", device.data / name, device.data / "site"], timeout=30)
        shutil.copyfile(device.image, root / "crashed")
    device.crash(root / "crashed")
    return device


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPartition]:
    device = provisioned(tmp_path_factory.mktemp("device"))
    yield device
    device.unmount()


@pytest.fixture
def device(crashed: DataPartition) -> Iterator[DataPartition]:
    crashed.ship("common/overlay", "data")
    crashed.crash(crashed.board.root / "crashed")
    (crashed.board.root / "console").unlink(missing_ok=True)
    yield crashed
    crashed.unmount()


def identity(device: DataPartition) -> list[str]:
    return [(device.data / name).read_text() for name in (KEY, ID, SERVER)]


def site(device: DataPartition) -> dict[str, str]:
    return {
        name: (device.data / name).read_text() for name in SITE if (device.data / name).exists()
    }


def boot(device: DataPartition) -> str:
    done = device.run("data")
    assert done.returncode == 0, done.stderr
    assert device.is_mounted
    return device.said


def test_a_cut_needs_no_word(device: DataPartition) -> None:
    assert boot(device) == ""
    assert site(device) == SITE


def test_a_file_that_was_open_needs_no_word(tmp_path: Path) -> None:
    """Orphans are no damage."""
    device = DataPartition(tmp_path)
    with device.mounted():
        for folder in ("ssh", "config"):
            (device.data / folder).mkdir()
        device.provisioned()
        with (device.data / "open").open("w") as stream:
            stream.write("x" * 100_000)
            stream.flush()
            (device.data / "open").unlink()
            run(["sync", "-f", device.data], timeout=30)
            shutil.copyfile(device.image, tmp_path / "crashed")
    device.crash(tmp_path / "crashed")
    try:
        assert boot(device) == ""
    finally:
        device.unmount()


def test_a_torn_superblock_costs_nothing(device: DataPartition) -> None:
    DataFault.parse("torn:superblock").strike(device.medium.can, device.system)
    assert boot(device) == "gateway-data: repaired (e2fsck -n: 4); restored: nothing\n"
    assert site(device) == SITE
    device.unmount()
    assert run(["e2fsck", "-fn", device.image], timeout=30, check=False).returncode == 0


def test_fstab_gives_a_torn_superblock_up(device: DataPartition) -> None:
    """The negative control: what systemd's fsck and mount do."""
    device.ship("common/variants/data-unrepaired/overlay", "data")
    assert device.run("data").returncode == 0
    device.unmount()
    device.crash(device.board.root / "crashed")
    DataFault.parse("torn:superblock").strike(device.medium.can, device.system)
    assert device.run("data").returncode == 1
    assert not device.is_mounted


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        ("destroyed:superblock", False),
        ("destroyed:group-descriptors", False),
        ("destroyed:block-bitmap", False),
        ("destroyed:inode-bitmap", False),
        ("destroyed:journal", True),
        ("destroyed:inode-table", True),
    ],
)
@pytest.mark.parametrize("clean", [False, True], ids=["cut", "clean"])
def test_one_destroyed_block(device: DataPartition, fault: str, *, lost: bool, clean: bool) -> None:
    if clean:
        boot(device)
        device.unmount()
    with_identity = run(["debugfs", "-R", f"cat {KEY}", device.image], timeout=30).stdout
    DataFault.parse(fault).strike(device.medium.can, device.system)
    boot(device)
    key, device_id, server = identity(device)
    assert (key, server) == (with_identity, URL)
    assert device_id.startswith("3c0f9c0e")
    if not lost:
        assert site(device) == SITE
    device.unmount()
    assert run(["e2fsck", "-fn", device.image], timeout=30, check=False).returncode == 0


def test_a_setting_whose_journal_is_damaged_comes_back(tmp_path: Path) -> None:
    """One block of the journal is noise: e2fsck replays what is before it, and finds no fault."""
    device = DataPartition(tmp_path)
    with device.mounted():
        for folder in ("ssh", "config"):
            (device.data / folder).mkdir()
        assert device.run("host-key").returncode == 0
    with device.mounted():  # synced, kept, and only in the journal yet
        (device.data / SERVER).write_text(URL)
        run(["sync", device.data / SERVER, device.data / "config"], timeout=30)
        assert device.run("keep save").returncode == 0
        shutil.copyfile(device.image, tmp_path / "crashed")
    headers = [
        block
        for block in device.system.journal[1:]
        if device.medium.read(block * 4096, 4) == b"\xc0\x3b\x39\x98"
    ]
    assert len(headers) > 1
    try:
        for block in headers[-2:]:  # of the last transaction: descriptor and commit
            device.crash(tmp_path / "crashed")
            device.medium.overwrite(block * 4096, b"\xa5" * 4096)
            (tmp_path / "console").unlink(missing_ok=True)
            assert boot(device) == f"gateway-data: settings: restored: {SERVER}\n"
            assert (device.data / SERVER).read_text() == URL
            device.unmount()
    finally:
        device.unmount()


@pytest.mark.parametrize("lost", ["content", "inode"])
def test_a_setting_that_is_lost_without_a_cut_comes_back(tmp_path: Path, lost: str) -> None:
    device = DataPartition(tmp_path)
    with device.mounted():
        for folder in ("ssh", "config", "site"):
            (device.data / folder).mkdir()
        assert device.run("host-key").returncode == 0
        for number in range(40):  # an inode block of its own for the setting
            (device.data / f"site/{number}").write_text("x\n")
        (device.data / SERVER).write_text(URL)
        assert device.run("keep save").returncode == 0

    def asked(request: str, pattern: str) -> int:
        told = run(["debugfs", "-R", f"{request} {SERVER}", device.image], timeout=30).stdout
        found = re.search(pattern, told)
        assert found
        return int(found[1])

    content, inodes = asked("stat", r"EXTENTS:\s*\(0\):(\d+)"), asked("imap", r"block (\d+)")
    damage = {"content": (content, bytes(4096)), "inode": (inodes, b"\xa5" * 4096)}[lost]
    device.medium.overwrite(damage[0] * 4096, damage[1])
    try:
        assert f"restored: {SERVER}" in boot(device)
        assert (device.data / SERVER).read_text() == URL
    finally:
        device.unmount()


def test_a_setting_that_was_emptied_stays_empty(tmp_path: Path) -> None:
    device = DataPartition(tmp_path)
    with device.mounted():
        for folder in ("ssh", "config"):
            (device.data / folder).mkdir()
        device.provisioned()
        (device.data / SERVER).write_text("")
        (device.data / "config/link").symlink_to("nowhere")
    try:
        assert boot(device) == ""
        assert (device.data / SERVER).read_text() == ""
    finally:
        device.unmount()


def test_beyond_repair_it_is_made_anew(device: DataPartition) -> None:
    for offset in (0, BACKUP):
        device.medium.overwrite(offset, b"\xa5" * 8192)
    said = boot(device)
    assert "made anew (e2fsck -n: 8, e2fsck -fy: 8)" in said
    assert identity(device)[2] == URL
    made = run(["dumpe2fs", "-h", device.image], timeout=30).stdout
    assert f"Block count:              {(SIZE - KEEP) // 4096}\n" in made


def test_a_repair_that_was_cut_is_ended(device: DataPartition) -> None:
    """The settings are gone, the identity is there, and e2fsck has nothing left to say."""
    boot(device)
    (device.data / SERVER).unlink()
    device.unmount()
    assert device.run("keep mark").returncode == 0
    assert boot(device).endswith(f"restored: {SERVER}\n")
    device.unmount()
    (device.board.root / "console").unlink()
    assert boot(device) == ""


def test_a_setting_that_was_deleted_stays_so(device: DataPartition) -> None:
    boot(device)
    (device.data / SERVER).unlink()
    device.unmount()
    assert boot(device) == ""
    assert not (device.data / SERVER).exists()


@pytest.mark.parametrize("tools", [["mount"], ["e2fsck"], ["e2fsck", "mount"]], ids=repr)
def test_broken_tools_do_not_cost_the_data(device: DataPartition, tools: list[str]) -> None:
    """A version on trial whose kernel or programs are at fault: the one before finds it all."""
    for tool in tools:
        device.board.program(tool, "#!/bin/sh\nexit 32\n")
    assert (device.run("data").returncode == 0) is ("mount" not in tools)
    assert ("cannot be repaired" in device.said) is ("mount" in tools)
    device.unmount()
    for tool in tools:
        (device.board.root / "bin" / tool).unlink()
    boot(device)
    assert site(device) == SITE


# Reads of the partition fail for one boot, writes do not: e2fsck through a preloaded pread(2).
FAILS = """\
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
#include <dlfcn.h>
static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    errno = EIO;
    return !strcmp(path, getenv("GATEWAY_DATA_DEVICE"));
}
#define NEXT(name) ((ssize_t(*)())dlsym(RTLD_NEXT, #name))
ssize_t read(int fd, void *to, size_t n) { return fails(fd) ? -1 : NEXT(read)(fd, to, n); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
    return fails(fd) ? -1 : NEXT(pread64)(fd, to, n, at);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
    return fails(fd) ? -1 : NEXT(pread)(fd, to, n, at);
}
"""


def test_a_medium_that_cannot_be_read_for_one_boot_is_left_as_it_is(device: DataPartition) -> None:
    root = device.board.root
    (root / "fails.c").write_text(FAILS)
    run(["gcc", "-w", "-shared", "-fPIC", "-o", root / "fails.so", root / "fails.c"], timeout=60)
    before = device.image.read_bytes()
    device.board.environment["LD_PRELOAD"] = str(root / "fails.so")
    try:
        assert device.run("data").returncode == 1
    finally:
        del device.board.environment["LD_PRELOAD"]
    assert device.image.read_bytes() == before
    assert "cannot be read (e2fsck -n: 8); left as it is" in device.said
    boot(device)
    assert site(device) == SITE
