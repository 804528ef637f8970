"""Which proofs count: asked by this harness, and in the boot that is followed now."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.crash.exploration import prove
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.sources import followed
from harness.crash.exploration.workers import extents_file
from harness.crash.inspect.replay import kept_in
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import parse
from harness.errors import ConfigurationError
from harness.judge.verdict import Verdict
from tests.unit.crash.recordings import Log, proof, recording

CUT, SECOND = "14/all", "14/all>1/all"


def wrote(text: bytes) -> Callable[[Log], object]:
    return lambda log: log.write(0, text.ljust(512, b"#"))


@pytest.fixture
def twice(tmp_path: Path) -> Recording:
    """A state that was booted twice, and did not write the same; a second cut in the first boot."""
    found = recording(tmp_path)
    proof(found, 0, CUT, Verdict.OLD, wrote=wrote(b"x"))
    proof(found, 1, SECOND, Verdict.OLD)
    proof(found, 2, CUT, Verdict.OLD, sample=True, wrote=wrote(b"y"))
    return found


def test_a_second_cut_is_in_the_boot_that_it_was_made_in(twice: Recording, tmp_path: Path) -> None:
    first, again, second = prove.proofs(twice)
    assert second.follows == first.log.sha256 != again.log.sha256
    exploration = resumed(twice, seed=1)
    assert len(exploration.booted) == 3
    assert exploration.followed_log(parse(SECOND)) == first.log.sha256
    state_file = tmp_path / "state.json"
    assert extents_file(twice, parse(SECOND), state_file) == first.log.sha256
    asked = again.log.sha256
    assert extents_file(twice, parse(SECOND), state_file, follows=asked) == asked
    with pytest.raises(ConfigurationError, match="no boot of 14/all is known"):
        extents_file(twice, parse(SECOND), state_file, follows="0" * 64)


def test_a_second_cut_in_a_boot_that_is_gone_counts_for_no_other(twice: Recording) -> None:
    """Its proof was deleted and made anew, as an error's hint had said: the second cut's proof was
    counted for what that boot had written."""
    first, *_ = prove.proofs(twice)
    for path in first.folder.iterdir():
        if path.is_file():
            path.unlink()
    there = resumed(twice, seed=1).booted
    assert [str(each.proof.state) for each in there] == [CUT]


def test_one_in_a_boot_of_another_harness_counts_for_none_of_this(twice: Recording) -> None:
    first, *_ = prove.proofs(twice)
    replace(first, asked="0" * 64).save()
    exploration = resumed(twice, seed=1)
    assert [each.proof.folder.name for each in exploration.booted] == ["00002"]
    asked = exploration.followed_log(parse(SECOND))
    assert followed(parse(SECOND), prove.proofs(twice), asked).folder.name == "00002"


def test_a_proof_that_follows_nothing_is_damaged(twice: Recording) -> None:
    *_, second = prove.proofs(twice)
    replace(second, follows="").save()
    with pytest.raises(ConfigurationError, match="follows: no boot, of 14/all>1/all"):
        prove.proofs(twice)


def test_a_replay_on_another_bench_decides_nothing(tmp_path: Path) -> None:
    found = recording(tmp_path)
    lab = tmp_path / "lab.yaml"
    lab.write_text("targets: {a: {options: {machine: small}}, b: {options: {machine: small}}}")
    told = kept_in(replace(found, lab=lab, board="a", bench="{}"))
    assert told == found.folder / "elsewhere"
