"""Mender artifacts, made and checked with the real mender-artifact."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from harness import process
from harness.builders.debian import pki, recipe
from harness.builders.debian.artifacts import mender
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from tests.unit.builders import samples


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    scripts = tmp_path / "recipe/state-scripts"
    scripts.mkdir(parents=True)
    (scripts / "ArtifactCommit_Enter_00").write_text("#!/bin/sh\n", encoding="utf-8")
    folder = samples.recipe_folder(
        tmp_path / "recipe", client="mender", state_scripts="state-scripts"
    )
    return recipe.load(folder)


def _artifact(small: Recipe, folder: Path, signing: Signing) -> Path:
    slot = folder / "slot.img"
    slot.write_bytes(b"slot" * 1000)
    return mender.make(
        slot, folder / "update.mender", recipe=small, version="1.1.0", signing=signing
    )


def _validates(artifact: Path, key: bytes, folder: Path) -> bool:
    (folder / "public.pem").write_bytes(key)
    argv = ["mender-artifact", "validate", "-k", str(folder / "public.pem"), str(artifact)]
    return process.run(argv, timeout=30, check=False).returncode == 0


def _trusted(small: Recipe) -> Tree:
    tree = Tree(epoch=0)
    mender.trust(tree, small, "1.1.0", pki.development())
    return tree


def test_says_what_it_is_and_holds_the_slot(small: Recipe, tmp_path: Path) -> None:
    artifact = _artifact(small, tmp_path, pki.development())
    told = process.run(["mender-artifact", "read", artifact], timeout=30).stdout
    assert "Name: small-1.1.0" in told
    assert "Compatible devices: '[small]'" in told
    assert "ArtifactCommit_Enter_00" in told
    listing = process.run(["tar", "-tf", artifact], timeout=30).stdout
    (payload,) = [name for name in listing.splitlines() if name.startswith("data/")]
    unpack = 'tar -xOf "$1" "$2" | tar -xO'
    held = process.run(["sh", "-c", unpack, "sh", artifact, payload], timeout=30).stdout
    assert held == "slot" * 1000


def test_devices_trust_the_signer_and_no_stranger(small: Recipe, tmp_path: Path) -> None:
    key = _trusted(small).read("/etc/mender/artifact-verify-key.pem")
    assert _validates(_artifact(small, tmp_path, pki.development()), key, tmp_path)
    assert not _validates(_artifact(small, tmp_path, pki.stranger()), key, tmp_path)


def test_devices_know_their_type_and_version(small: Recipe) -> None:
    tree = _trusted(replace(small, compatible="other"))
    assert tree.read("/etc/mender/device_type") == b"device_type=other\n"
    assert tree.read("/etc/mender/artifact_info") == b"artifact_name=small-1.1.0\n"


def test_the_signing_key_is_not_left_behind(small: Recipe, tmp_path: Path) -> None:
    _artifact(small, tmp_path, pki.development())
    private = serialization.load_pem_private_key(pki.development().key.read_bytes(), None)
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    copies = [p for p in tmp_path.rglob("*") if p.is_file() and text in p.read_bytes()]
    assert copies == []


def test_rpi4_looks_for_its_key_where_it_is_put(small: Recipe) -> None:
    """The configuration of the image, and the paths that the builder writes."""
    text = Path("images/rpi4/overlay/etc/mender/mender.conf").read_text(encoding="utf-8")
    settings = json.loads(text)
    tree = _trusted(small)
    assert settings["ArtifactVerifyKey"] in tree
    assert settings["DeviceTypeFile"] in tree
