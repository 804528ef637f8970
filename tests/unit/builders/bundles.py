"""Update artifacts that hold a slot image, as far as anybody looks who does not install them."""

import functools
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path


def mender(slot: bytes, name: str = "slot.img", device: str = "box-1") -> bytes:
    """An Artifact with one payload; not signed."""
    depends = {"device_type": [device]} if device else {}
    told = json.dumps({"artifact_depends": depends}).encode()
    parts = {"version": b"{}", "manifest": b"", "header.tar": tar({"header-info": told})}
    return tar({**parts, "data/0000.tar": tar({name: slot})})


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@functools.cache
def rauc(slot: bytes, manifest: str = "[image.rootfs]\nfilename=rootfs.img\n") -> bytes:
    """A bundle around a slot image; not signed."""
    with tempfile.TemporaryDirectory() as name:
        content = Path(name) / "content"
        content.mkdir()
        (content / "rootfs.img").write_bytes(slot)
        (content / "manifest.raucm").write_text(manifest)
        return squashed(content)


def squashed(content: Path, *more: str) -> bytes:
    """A bundle of whatever is in a folder; `more`: options of mksquashfs(1)."""
    bundle = content.with_name("bundle")
    options = ["-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress", *more]
    command = ["mksquashfs", str(content), str(bundle), *options]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return bundle.read_bytes()
