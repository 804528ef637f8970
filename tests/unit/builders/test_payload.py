"""What an update artifact installs is the slot image of its release, by content."""

import dataclasses
from pathlib import Path

import pytest

from harness.artifacts import mender, rauc
from harness.errors import ConfigurationError
from harness.evidence.subject import read_subject
from harness.product import release as releases
from tests.unit.builders import bundles
from tests.unit.evidence.samples import ARTIFACT, make_release

SLOT = b"slot" * 256
LIMIT = 1 << 20


def written(folder: Path, content: bytes) -> Path:
    path = folder / "artifact"
    path.write_bytes(content)
    return path


def digest(folder: Path) -> releases.Digest:
    (folder / "slot.img").write_bytes(SLOT)
    return releases.digest(folder / "slot.img")


def test_the_payload_of_an_artifact(tmp_path: Path) -> None:
    assert mender.payload(written(tmp_path, bundles.mender(SLOT)), limit=len(SLOT)) == digest(
        tmp_path
    )
    bundle = written(tmp_path, bundles.rauc(SLOT))
    assert rauc.payload(bundle, limit=len(SLOT)) == digest(tmp_path)
    # Behind a bundle's squashfs are the hash tree and the signature.
    signed = bundles.rauc(SLOT) + b"signature" * 100
    assert rauc.payload(written(tmp_path, signed), limit=len(SLOT)) == digest(tmp_path)


TWO = bundles.tar({"data/0000.tar": bundles.tar({"a": SLOT, "b": SLOT})})
MORE = bundles.tar({f"data/000{n}.tar": bundles.tar({"a": SLOT}) for n in range(2)})
NONE = bundles.tar({"version": b"{}"})


@pytest.mark.parametrize("content", [b"", b"noise", TWO, MORE, NONE, bundles.mender(SLOT)[:1500]])
def test_no_artifact_of_mender(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not an Artifact with one payload"):
        mender.payload(written(tmp_path, content), limit=LIMIT)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "noise",
        "[image.rootfs]\n",
        "[image.rootfs]\nfilename=other.img\n",
        "[image.rootfs]\nfilename=../slot.img\n",
        "[image.rootfs]\nfilename=rootfs.img\n[image.boot]\nfilename=rootfs.img\n",
    ],
)
def test_no_bundle_of_rauc(tmp_path: Path, manifest: str) -> None:
    with pytest.raises(ConfigurationError, match=r"its manifest|: other\.img: No such file"):
        rauc.payload(written(tmp_path, bundles.rauc(SLOT, manifest)), limit=LIMIT)
    with pytest.raises(ConfigurationError, match="unsquashfs"):
        rauc.payload(written(tmp_path, b"noise"), limit=LIMIT)


def test_a_release_whose_artifact_holds_another_slot_is_refused(tmp_path: Path) -> None:
    """Every digest in release.json is right: the artifact is simply of another build."""
    make_release(tmp_path / "release")
    artifact = tmp_path / "release" / ARTIFACT
    artifact.write_bytes(bundles.mender(b"of another build"))
    made = releases.load(tmp_path / "release")
    files = {**made.files, ARTIFACT: releases.digest(artifact)}
    dataclasses.replace(made, files=files).write()
    with pytest.raises(ConfigurationError, match="installs another slot image"):
        read_subject(tmp_path / "release")
