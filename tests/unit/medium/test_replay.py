"""Base + log = content, at every position, through cuts."""

import json
import random
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.store import Store
from harness.medium.log import LogReader, RecordKind
from harness.medium.model import Loss, LossKind
from harness.medium.replay import replay

from .reference import Reference, content, scramble

SEEDED = [LossKind.NONE, LossKind.ALL, LossKind.SOME, LossKind.TORN]


@pytest.mark.parametrize("kind", SEEDED)
def test_replay_equals_content(
    store: Store, folder: Path, image: Path, tmp_path: Path, kind: LossKind
) -> None:
    chance = random.Random(11)
    seen = {0: content(folder)}
    for seed in range(5):
        scramble(store, Reference(content(folder)), chance, 25)
        seen[store.position] = content(folder)
        store.freeze()
        store.drop(Loss(kind=kind, seed=seed))
        store.release()
        seen[store.position] = content(folder)
    for position, expected in seen.items():
        replay(image, folder / "log.bin", position, tmp_path / "replayed.img")
        assert (tmp_path / "replayed.img").read_bytes() == expected


def test_records_say_what_happened(store: Store, folder: Path, image: Path) -> None:
    era = store.attach()
    store.write(era, b"a" * 512, 1024, fua=True)
    store.mark("phase: install")
    store.trim(era, 0, 2048)
    store.flush(era)
    store.freeze()
    store.drop(Loss(kind=LossKind.SOME, seed=7))
    with LogReader(folder / "log.bin") as log:
        records = list(log.records())
        assert (log.origin.base, log.origin.size) == (str(image), image.stat().st_size)
        kinds = [
            RecordKind.WRITE,
            RecordKind.MARK,
            RecordKind.TRIM,
            RecordKind.FLUSH,
            RecordKind.CUT,
        ]
        assert [record.kind for record in records] == kinds
        assert [record.position for record in records] == list(range(5))
        assert log.payload(records[0]) == b"a" * 512 and records[0].fua
        assert log.payload(records[1]) == b"phase: install"
        assert (records[2].offset, records[2].length) == (0, 2048)
        assert json.loads(log.payload(records[4]))["loss"] == "some:7"
    times = [record.monotonic_ns for record in records]
    assert times == sorted(times)


def test_a_record_cut_short_is_not_read(store: Store, folder: Path, tmp_path: Path) -> None:
    store.write(store.attach(), b"a" * 512, 0)
    store.mark("last")
    short = tmp_path / "short.bin"
    short.write_bytes((folder / "log.bin").read_bytes()[:-1])
    with LogReader(short) as log:
        assert [record.kind for record in log.records()] == [RecordKind.WRITE]


def test_what_is_not_a_log_is_refused(tmp_path: Path, image: Path) -> None:
    with pytest.raises(ValueError, match="not a write log"):
        LogReader(image)


def test_replay_beyond_the_end_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 0 records, not 1"):
        replay(folder / "content.img", folder / "log.bin", 1, tmp_path / "replayed.img")
