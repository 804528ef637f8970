"""The second copy of identity and settings: images/common/.../keep and host-key."""

from pathlib import Path

import pytest

from harness.product.layout import KEEP
from tests.unit.clients.data_partition import ID, KEY, SERVER, SIZE, URL, DataPartition

FIRST, SECOND = SIZE - KEEP, SIZE - KEEP // 2
COPY = 64 * 1024


@pytest.fixture
def device(tmp_path: Path) -> DataPartition:
    """Provisioned; /data is a plain folder."""
    found = DataPartition(tmp_path)
    found.board.program("mountpoint", "#!/bin/sh\n")
    found.provisioned()
    return found


def content(device: DataPartition) -> dict[str, bytes]:
    return {name: (device.data / name).read_bytes() for name in (KEY, ID, SERVER)}


def lose(device: DataPartition) -> None:
    for name in (KEY, ID, SERVER):
        (device.data / name).unlink()
    (device.data / "ssh").rmdir()


def test_what_is_lost_comes_back_as_it_was(device: DataPartition) -> None:
    before = content(device)
    lose(device)
    done = device.run("keep restore")
    assert done.stdout == f"restored: {ID} {SERVER} {KEY}\n", done.stderr
    assert content(device) == before
    assert (device.data / KEY).stat().st_mode & 0o777 == 0o600
    assert (device.data / "ssh").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", [FIRST, SECOND])
@pytest.mark.parametrize("sector", [0, 1, 9])
def test_either_copy_is_enough(device: DataPartition, place: int, sector: int) -> None:
    before = content(device)
    device.medium.overwrite(place + 512 * sector, b"\xa5" * 512)
    lose(device)
    assert device.run("keep restore").returncode == 0
    assert content(device) == before


def test_a_copy_that_does_not_check_does_not_count(device: DataPartition) -> None:
    for place in (FIRST, SECOND):
        device.medium.overwrite(place + 700, b"\xa5")
    lose(device)
    assert device.run("keep any").returncode == 1
    assert device.run("keep restore").stdout == "there is no copy\n"
    assert not (device.data / KEY).exists()


def test_what_says_something_is_left_alone(device: DataPartition) -> None:
    (device.data / SERVER).write_text("http://other\n")
    (device.data / KEY).write_text("no key\n")
    (device.data / ID).write_bytes(bytes(37))
    assert device.run("keep restore").stdout == f"restored: {ID} {KEY}\n"
    assert (device.data / SERVER).read_text() == "http://other\n"


def test_an_empty_setting_never_replaces_one(device: DataPartition) -> None:
    (device.data / SERVER).write_text("")
    (device.data / "config/more").write_text("more\n")
    assert device.run("keep save").returncode == 0
    assert device.run("keep restore").stdout == f"restored: {SERVER}\n"
    assert (device.data / SERVER).read_text() == URL


def test_zeros_never_replace_a_setting(device: DataPartition) -> None:
    """A lost block reads as zeros."""
    (device.data / SERVER).write_bytes(bytes(20))
    (device.data / "config/more").write_text("more\n")
    assert device.run("keep save").returncode == 0
    assert device.run("keep restore").stdout == f"restored: {SERVER}\n"
    assert (device.data / SERVER).read_text() == URL


def test_no_identity_never_replaces_one(device: DataPartition) -> None:
    before = device.image.read_bytes()
    (device.data / KEY).unlink()
    assert device.run("keep save").returncode == 1
    assert device.image.read_bytes() == before


def test_nothing_is_written_when_nothing_has_changed(device: DataPartition) -> None:
    before = device.image.stat().st_mtime_ns
    assert device.run("keep save").returncode == 0
    assert device.image.stat().st_mtime_ns == before


@pytest.mark.parametrize("command", ["save", "restore"])
def test_what_has_not_changed_is_not_looked_into(device: DataPartition, command: str) -> None:
    """It is asked in each boot, and a process costs a slow gateway a tenth of a second."""
    assert device.run("keep save").returncode == 0
    for name in ("ssh-keygen", "grep", "cp"):
        device.board.program(name, "#!/bin/sh\nexit 1\n")
    done = device.run(f"keep {command}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("restored: nothing\n" if command == "restore" else "")


def test_a_copy_is_whole_at_any_time(device: DataPartition) -> None:
    """Cut after any sector of a save, from either state: the old content or the new one."""
    for torn in (None, FIRST, SECOND):
        if torn:
            device.medium.overwrite(torn + 700, b"\xa5")
        old = device.medium.read(FIRST, KEEP)
        (device.data / SERVER).write_text(f"http://changed{torn}\n")
        assert device.run("keep save").returncode == 0
        new = device.medium.read(FIRST, KEEP)
        order = (0, KEEP // 2) if torn == FIRST else (KEEP // 2, 0)
        for place, other in (order, order[::-1]):
            for sectors in (1, 5, 10):
                cut = bytearray(old)
                if place == order[1]:
                    cut[other : other + COPY] = new[other : other + COPY]
                cut[place : place + sectors * 512] = new[place : place + sectors * 512]
                device.medium.overwrite(FIRST, bytes(cut))
                assert device.run("keep any").returncode == 0
        device.medium.overwrite(FIRST, new)


def test_a_file_system_of_an_older_layout_is_not_written_to(tmp_path: Path) -> None:
    device = DataPartition(tmp_path, keep=0)
    device.board.program("mountpoint", "#!/bin/sh\n")
    before = device.image.read_bytes()
    assert device.run("host-key").returncode == 0
    assert "no room" in device.run("keep save").stderr
    assert device.image.read_bytes() == before


def test_a_host_key_that_is_none_comes_back(device: DataPartition) -> None:
    before = content(device)
    (device.data / KEY).write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + bytes(300))
    (device.board.root / "proc/sys/kernel/random/uuid").write_text("none")
    (device.data / ID).write_bytes(bytes(37))
    assert device.run("host-key").returncode == 0
    assert content(device) == before
    assert (device.board.root / "run/ssh-key/ssh_host_ed25519_key").read_bytes() == before[KEY]
