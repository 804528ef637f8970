"""Artifacts of clients that the harness makes none for: what they install is read all the same."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from harness.artifacts import opener
from harness.builders.debian.artifacts import maker
from harness.errors import ConfigurationError
from harness.process import run

IMAGE = b"root" * 3000
LIMIT = 1 << 20


def swu(folder: Path, *names: str, archive: str = "crc") -> Path:
    """As SWUpdate's documentation has one made: cpio, in the order of the names."""
    for name in names:
        (folder / name).write_bytes(b"software = {}" if "description" in name else IMAGE)
    made = folder / "update.swu"
    script = f'cpio --quiet -o -H {archive} >"$0"'
    run(["sh", "-c", script, made], timeout=30, cwd=folder, stdin="".join(f"{n}\n" for n in names))
    return made


def update_tar(folder: Path, **kinds: bytes) -> Path:
    """A tar of those members: bytes are files; a name with `link` is a link."""
    made = folder / "update.tar"
    with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in kinds.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == "link":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/shadow", 0
            archive.addfile(member, io.BytesIO(content))
    return made


@pytest.mark.parametrize("archive", ["crc", "newc"])
def test_the_image_of_an_swu_file(tmp_path: Path, archive: str) -> None:
    made = swu(
        tmp_path, "sw-description", "sw-description.sig", "root.ext4", "s.lua", archive=archive
    )
    found = opener("swupdate").payload(made, limit=LIMIT)
    assert (found.sha256, found.size) == (hashlib.sha256(IMAGE).hexdigest(), len(IMAGE))


@pytest.mark.parametrize(
    "names", [["root.ext4"], ["sw-description"], ["sw-description", "a", "b"], ["root.ext4.gz"]]
)
def test_no_one_image_in_an_swu_file(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="not an SWU file"):
        opener("swupdate").payload(swu(tmp_path, *names), limit=LIMIT)


def test_the_image_of_an_update_of_sysupdate(tmp_path: Path) -> None:
    made = update_tar(tmp_path, **{"SHA256SUMS": b"x", "p_1.efi": b"MZ", "p_1.root": IMAGE})
    found = opener("systemd-sysupdate").payload(made, limit=LIMIT)
    assert (found.sha256, found.size) == (hashlib.sha256(IMAGE).hexdigest(), len(IMAGE))


@pytest.mark.parametrize("names", [["p.efi"], ["a.root", "b.root"], ["link", "a.root"], []])
def test_no_one_image_in_an_update_of_sysupdate(tmp_path: Path, names: list[str]) -> None:
    made = update_tar(tmp_path, **dict.fromkeys(names, IMAGE))
    with pytest.raises(ConfigurationError, match="not a tar"):
        opener("systemd-sysupdate").payload(made, limit=LIMIT)


@pytest.mark.parametrize("client", ["swupdate", "systemd-sysupdate"])
@pytest.mark.parametrize(
    "content", [b"", b"070701", b"070702" + b"f" * 104, bytes(5000), b"x" * 600]
)
def test_what_is_no_archive(tmp_path: Path, client: str, content: bytes) -> None:
    (tmp_path / "artifact").write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a"):
        opener(client).payload(tmp_path / "artifact", limit=LIMIT)


@pytest.mark.parametrize("client", ["swupdate", "systemd-sysupdate"])
def test_larger_than_a_slot(tmp_path: Path, client: str) -> None:
    made = (
        swu(tmp_path, "sw-description", "root.ext4")
        if client == "swupdate"
        else update_tar(tmp_path, **{"p_1.root": IMAGE})
    )
    with pytest.raises(ConfigurationError) as told:
        opener(client).payload(made, limit=len(IMAGE) - 1)
    assert "larger than" in told.value.details


def test_none_is_made_here() -> None:
    with pytest.raises(ConfigurationError, match="has no FILE, make, trust"):
        maker("swupdate")
