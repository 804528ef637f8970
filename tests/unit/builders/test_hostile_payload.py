"""An update artifact is somebody's input: whatever it holds, one error names it and the member."""

import dataclasses
import gzip
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.evidence.subject import read_subject
from harness.product import release as releases
from tests.unit.bounds import bounded
from tests.unit.builders import bundles
from tests.unit.evidence.samples import ARTIFACT, make_release

LINE = "TOP-OF-A-FILE"
MANIFEST = "[image.rootfs]\nfilename=rootfs.img\n"


def refusal(folder: Path, client: str, artifact: bytes) -> str:
    """What is said of a release with this artifact, whose digests are all right."""
    make_release(folder / "release")
    name = {"mender": ARTIFACT, "rauc": "update.raucb"}[client]
    (folder / "release" / name).write_bytes(artifact)
    made = releases.load(folder / "release")
    files = {**made.files, name: releases.digest(folder / "release" / name)}
    product = dataclasses.replace(made.product, client=client)
    dataclasses.replace(made, product=product, artifact_name=name, files=files).write()
    with bounded(), pytest.raises(ConfigurationError) as refused:
        read_subject(folder / "release")
    assert name in refused.value.brief
    assert LINE not in str(refused.value)
    return str(refused.value)


def bundle(folder: Path, change: Callable[[Path], object], *more: str) -> bytes:
    content = folder / "content"
    content.mkdir()
    (content / "manifest.raucm").write_text(MANIFEST)
    (content / "rootfs.img").write_bytes(b"slot")
    change(content)
    return bundles.squashed(content, *more)


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    """A file of whoever looks at a bundle."""
    (tmp_path / "secret").write_text(f"{LINE}\n")
    return tmp_path / "secret"


@pytest.mark.parametrize("name", ["manifest.raucm", "rootfs.img"])
@pytest.mark.parametrize("kind", ["link", "FIFO", "device", "folder", "missing"])
def test_a_member_that_is_no_file(tmp_path: Path, host_file: Path, name: str, kind: str) -> None:
    def change(content: Path) -> None:
        (content / name).unlink()
        if kind == "link":
            (content / name).symlink_to(host_file)
        elif kind == "FIFO":
            os.mkfifo(content / name)
        elif kind == "folder":
            (content / name).mkdir()

    more = ["-p", f"{name} c 666 0 0 1 5"] if kind == "device" else []  # /dev/zero
    assert name in refusal(tmp_path, "rauc", bundle(tmp_path, change, *more))


@pytest.mark.parametrize(
    "image",
    ["x" * 300, "\x1b[31mred", "manifest.raucm", "..", ".", "", "*", "-e", "content/rootfs.img"],
)
def test_a_name_that_is_none(tmp_path: Path, image: str) -> None:
    text = MANIFEST.replace("rootfs.img", image)
    made = bundle(tmp_path, lambda content: (content / "manifest.raucm").write_text(text))
    assert "its manifest" in refusal(tmp_path, "rauc", made)


@pytest.mark.parametrize("text", [LINE, f"[image.a\n{LINE}\n", f"{MANIFEST}{LINE}\n[x]\n[x]"])
def test_no_content_is_quoted(tmp_path: Path, text: str) -> None:
    made = bundle(tmp_path, lambda content: (content / "manifest.raucm").write_text(text))
    assert "its manifest" in refusal(tmp_path, "rauc", made)


@pytest.mark.parametrize("name", ["manifest.raucm", "rootfs.img"])
def test_a_member_that_is_too_large_is_not_written(tmp_path: Path, name: str) -> None:
    made = bundle(tmp_path, lambda content: os.truncate(content / name, 8 << 20))
    assert f"{name}: larger than" in refusal(tmp_path, "rauc", made)


def member(kind: bytes, name: str = "data/0000.tar", size: int = 0, link: str = "") -> bytes:
    """One header of an archive, which says what it likes."""
    found = tarfile.TarInfo(name)
    found.type, found.size, found.linkname = kind, size, link
    return found.tobuf(tarfile.GNU_FORMAT)


PAYLOAD = bundles.tar({"slot.img": b"slot"})
PACKED: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress}
HEADERS = {
    "a link to itself": member(tarfile.SYMTYPE, link="data/0000.tar"),
    "a hard link to itself": member(tarfile.LNKTYPE, link="data/0000.tar"),
    "a link to a file": member(tarfile.SYMTYPE, link="/etc/passwd"),
    "a folder": member(tarfile.DIRTYPE),
    "a device": member(tarfile.CHRTYPE),
    "a size below zero": member(tarfile.REGTYPE, size=-1024),
    "a size without end": member(tarfile.REGTYPE, size=8 << 40),
    "a long name without end": member(tarfile.GNUTYPE_LONGNAME, size=8 << 40),
    "more headers without end": member(tarfile.XHDTYPE, size=8 << 40),
    "more headers, below zero": member(tarfile.XHDTYPE, size=-512),
    "headers in headers": member(tarfile.XHDTYPE, size=0) * 2000,
}


@pytest.mark.parametrize("kind", HEADERS)
def test_an_archive_with_other_things_than_files(tmp_path: Path, kind: str) -> None:
    end = bytes(1024)
    refusal(tmp_path, "mender", HEADERS[kind] + end)
    (tmp_path / "inner").mkdir()
    refusal(tmp_path / "inner", "mender", bundles.tar({"data/0000.tar": HEADERS[kind] + end}))


def test_a_sparse_member_has_the_size_that_counts(tmp_path: Path) -> None:
    with (tmp_path / "slot.img").open("wb") as stream:
        stream.truncate(8 << 40)
    for form in ("gnu", "posix"):
        command = ["tar", "-C", str(tmp_path), f"--format={form}", "-Scf", "-", "slot.img"]
        inner = subprocess.run(command, check=True, timeout=60, capture_output=True).stdout
        (tmp_path / form).mkdir()
        told = refusal(tmp_path / form, "mender", bundles.tar({"data/0000.tar": inner}))
        assert "not a plain file" in told


def test_a_payload_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    told = refusal(tmp_path, "mender", bundles.mender(bytes(1 << 20)))
    assert "slot.img: larger than 512 bytes" in told


@pytest.mark.parametrize("ending", PACKED)
def test_a_payload_that_is_compressed_and_too_large(tmp_path: Path, ending: str) -> None:
    """It is a thousand times as large as its file: read no further than its header."""
    packed = PACKED[ending](bundles.tar({"slot.img": bytes(16 << 20)}))
    made = bundles.tar({f"data/0000.tar.{ending}": packed})
    assert "slot.img: larger than 512 bytes" in refusal(tmp_path, "mender", made)


@pytest.mark.parametrize("ending", PACKED)
def test_a_compressed_payload_that_is_damaged(tmp_path: Path, ending: str) -> None:
    whole = PACKED[ending](PAYLOAD)
    torn = bytearray(whole)
    torn[len(torn) // 2] ^= 0xFF
    for number, content in enumerate((whole[:-20], bytes(torn), b"", PAYLOAD)):
        (tmp_path / str(number)).mkdir()
        made = bundles.tar({f"data/0000.tar.{ending}": content})
        assert "not an Artifact" in refusal(tmp_path / str(number), "mender", made)


def test_a_compression_that_is_not_known(tmp_path: Path) -> None:
    made = bundles.tar({"data/0000.tar.zst": b"zst"})
    assert "plain, gz or xz" in refusal(tmp_path, "mender", made)
