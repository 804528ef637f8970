"""Damaged and hostile files of a recording: one error that names the file, or the same as before.

Some hundreds of seeded mutations of each file. None may end in a traceback, in a run that never
ends, in gigabytes of memory, or in results that nobody came to.
"""

import contextlib
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.crash.exploration import prove, recount, workers
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.resume import resumed
from harness.crash.recording import phases
from harness.crash.recording.recording import FILE, Recording
from harness.crash.results import results
from harness.crash.states.cut import parse
from harness.errors import ConfigurationError, HarnessError
from harness.medium.log import HEADER, LogError, LogReader
from tests.unit.bounds import bounded
from tests.unit.crash import mutations
from tests.unit.crash.explored import change, explore
from tests.unit.crash.recordings import recording

SEED = 1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recording(tmp_path_factory.mktemp("explored")).folder
    explore(folder)
    return folder


def survey(file: Path, damaged: Iterator[bytes], read: Callable[[], object]) -> Counter[str]:
    """How often the file was refused, and how often it was read all the same."""
    whole, seen = file.read_bytes(), Counter[str]()
    try:
        for content in damaged:
            file.write_bytes(content)
            try:
                with bounded():
                    read()
                seen["read"] += 1
            except HarnessError as error:
                assert error.exit_code == 2
                assert str(file.parents[1]) in str(error)
                assert error.hint
                seen["refused"] += 1
    finally:
        file.write_bytes(whole)
    return seen


def both(content: bytes, count: int) -> Iterator[bytes]:
    yield from mutations.of_bytes(content, SEED, count)
    yield from mutations.of_json(content, SEED, count)


def facts(found: results.Results) -> dict[str, object]:
    """All of results but how long they took."""
    return {name: getattr(found, name) for name in recount.FACTS}


def test_recording(run: Path) -> None:
    """What is read is the same, or something that no part of the results rests on."""
    file, before = run / FILE, facts(results.load(run))

    def read() -> None:
        Recording.load(run).verify()
        assert facts(results.load(run)) == before  # they name the recording

    seen = survey(file, both(file.read_bytes(), 150), read)
    assert seen["refused"] > 250


@pytest.mark.parametrize("name", ["old/release.json", "new/release.json"])
def test_release(run: Path, name: str) -> None:
    file, before = run.parent / name, Recording.load(run)

    def read() -> None:
        assert Recording.load(run) == before

    assert survey(file, both(file.read_bytes(), 50), read)["refused"] > 80


def test_results(run: Path) -> None:
    """What contradicts itself in nothing contradicts the proofs: nobody signs it."""
    file, before = run / results.FILE, results.load(run)
    found = Recording.load(run)

    def read() -> None:
        told = results.load(run)
        assert not told.good  # nor was it
        if facts(told) != facts(before):
            with pytest.raises(ConfigurationError, match="not what recording and proofs come to"):
                recount.recount(found, told)

    assert survey(file, both(file.read_bytes(), 150), read)["refused"] > 250


def test_proof(run: Path) -> None:
    """One that can be read is another boot than the results are of, or they come out the same."""
    file, before = run / "proofs/00003/proof.json", results.load(run)
    found = Recording.load(run)

    def read() -> None:
        resumed(found, seed=1)
        with contextlib.suppress(ConfigurationError):
            recount.recount(found, before)

    assert survey(file, both(file.read_bytes(), 150), read)["refused"] > 250


def test_log_of_a_proof(run: Path) -> None:
    file, found = run / "proofs/00003/log.bin", Recording.load(run)
    damaged = mutations.of_bytes(file.read_bytes(), SEED, 150)
    assert survey(file, damaged, lambda: prove.proofs(found))["refused"] > 145


def test_log(run: Path) -> None:
    """A verdict rests on the very log that was recorded."""
    file = run / "log.bin"
    damaged = mutations.of_bytes(file.read_bytes(), SEED, 150)
    assert survey(file, damaged, lambda: Recording.load(run).verify())["refused"] > 145


def test_log_that_is_said_to_be_the_recorded_one(run: Path, tmp_path: Path) -> None:
    """Even where nobody hashes it, it is read with care."""
    file, whole = run / "log.bin", (run / FILE).read_bytes()

    def read() -> None:
        files = json.loads(whole)["files"]
        files[file.name]["size"] = file.stat().st_size
        change(run / FILE, files=files)
        found = Recording.load(run)
        phases.find(file, found.layout)
        workers.extents_file(found, parse("30/all"), tmp_path / "state.json")
        Exploration(found, seed=1).classified()

    try:
        seen = survey(file, mutations.of_bytes(file.read_bytes(), SEED, 100), read)
    finally:
        (run / FILE).write_bytes(whole)
    assert seen["refused"] > 50 and seen["read"] > 3  # a payload may be anything


FIELDS = {"kind": 4, "flags": 5, "unused": 6, "position": 8, "offset": 32, "length": 40, "data": 48}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("number", [7, 511, 2**32 - 512, 2**62, 2**64 - 512])
def test_a_header_that_no_medium_writes(run: Path, tmp_path: Path, field: str, number: int) -> None:
    """Offsets beyond the disk, lengths of petabytes, kinds that are not known, data cut off."""
    with LogReader(run / "log.bin") as log:
        write = next(record for record in log.records() if record.length and record.position > 20)
    content, at = bytearray((run / "log.bin").read_bytes()), write.payload_at - HEADER
    size = 8 if FIELDS[field] >= 8 else 1
    value = struct.pack("<Q", number)[:size] if size == 8 else bytes([number % 251 or 9])
    content[at + FIELDS[field] : at + FIELDS[field] + size] = value
    (tmp_path / "log.bin").write_bytes(content)
    with (
        bounded(),
        LogReader(tmp_path / "log.bin") as log,
        pytest.raises(LogError, match="record 2"),
    ):
        list(log.records())
