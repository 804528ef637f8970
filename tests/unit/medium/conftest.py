"""A flashed medium, in-process and behind a real nbdkit."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.nbd.store import Store

from .reference import SIZE


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "base.img"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "medium"
    path.mkdir()
    return path


@pytest.fixture
def store(folder: Path, image: Path) -> Iterator[Store]:
    store = Store(folder)
    store.load(image)
    yield store
    store.close()


@pytest.fixture
def medium(tmp_path: Path, image: Path) -> Iterator[Medium]:
    with Medium(tmp_path / "served") as medium:
        medium.load(image)
        yield medium
