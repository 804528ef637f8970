"""An exploration on a real Dask cluster; a boot takes no time here, and ends as it should."""

import fcntl
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dask.distributed import LocalCluster

from harness.crash.exploration import audit, prove
from harness.crash.exploration.explore import Boot, Plan, explore
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.workers import Task
from harness.crash.recording.recording import FILE as RECORDING
from harness.crash.recording.recording import Recording
from harness.crash.results.results import Results
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError, LabError
from harness.judge.verdict import Verdict
from tests.unit.crash.explored import boot, leave
from tests.unit.crash.recordings import BEFORE, recording

BAD_FROM, BAD_TO = 12, 18  # log positions at which `boot_bad` ends badly


def boot_bad(run: str, state: CrashState, task: Task) -> int:
    """Some states are lost."""
    if not BAD_FROM <= state.first.at < BAD_TO:
        return boot(run, state, task)
    found = Recording.load(Path(run))
    leave(found, task, state, Verdict.BRICKED, BEFORE)
    return task.number


def boot_and_die(run: str, state: CrashState, task: Task) -> int:
    """The third boot takes its worker along, once."""
    died = Path(run) / "died"
    if task.number == 2 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return boot(run, state, task)


def boot_fails(run: str, state: CrashState, task: Task) -> int:
    """The bench breaks at the second boot and stays so."""
    if task.number == 1:
        (Path(run) / f"try-{len(list(Path(run).glob('try-*')))}").touch()
        raise LabError("the bench is on fire")
    return boot(run, state, task)


def boot_forgets_the_way_back(run: str, state: CrashState, task: Task) -> int:
    """Boots of states that nothing has decided never come back; others do as they are asked."""
    return boot(run, state, replace(task, comes_back=task.comes_back and task.sample))


def verdicts(results: Results) -> list[tuple[int, dict[Verdict, int]]]:
    return [(point.at, dict(point.verdicts)) for point in results.points]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes, as on another host."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0
    ) as found:
        yield found


def plan(cluster: LocalCluster, **options: bool | float | str) -> Plan:
    return Plan(scheduler=cluster.scheduler_address, **options)  # type: ignore[arg-type]


def test_it_ends_with_every_cut_point_decided(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    results = explore(found.folder, plan(cluster), boot=boot)
    counts = results.counts
    assert results.complete
    # The recording is of a client that selects a slot before it writes it.
    assert {bad.reason.partition(":")[0] for bad in results.bad} == {"final-version"}
    assert counts.undecided == 0 and counts.sampled > 0 and counts.disagreements == 0
    assert counts.nested.cut_points > 0 and counts.nested.booted > 0
    assert results.audit and results.audit.kinds >= results.audit.boots > 1
    assert results.audit.odd == {} and not results.problems
    before = sorted((found.folder / prove.PROOFS).iterdir())
    again = explore(found.folder, plan(cluster), boot=boot_fails)  # there is nothing to boot
    assert sorted((found.folder / prove.PROOFS).iterdir()) == before
    assert verdicts(again) == verdicts(results)
    assert again.timing["seconds"] > results.timing["seconds"]


def test_a_condition_that_none_came_back_from_is_booted_again(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    found = recording(tmp_path)
    early = explore(found.folder, plan(cluster, budget=0.0), boot=boot)
    results = explore(found.folder, plan(cluster), boot=boot_forgets_the_way_back)
    assert results.complete and not results.counts.one_way
    states = Counter(each.state for each in results.boots)
    again = {each.state for each in results.boots if each.sample and states[each.state] > 1}
    assert again and early.counts.booted == 0
    for proof in prove.proofs(found):
        if proof.sample:
            shutil.rmtree(proof.folder)
    late = explore(found.folder, plan(cluster, budget=0.0), boot=boot)
    assert late.counts.one_way and not late.complete
    assert any("came back from the probe" in each for each in late.problems)


def test_what_another_harness_has_asked_counts_for_nothing(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    """Nor do boots that followed such a one, nor what readers have told apart in them."""
    found = recording(tmp_path)
    results = explore(found.folder, plan(cluster), boot=boot)
    one = next(each for each in prove.proofs(found) if each.state.nested)
    before = one.state.before
    apart = {str(one.state): "a reason", str(before): "another one"}
    assert results.audit
    audit.save(replace(results.audit, odd=apart), found.folder)
    for each in prove.proofs(found):
        if each.state == before:
            replace(each, asked="0" * 64).save()
    again = resumed(found, seed=results.seed)
    states = {str(each.proof.state) for each in again.booted}
    assert states == {
        each.state for each in results.boots if each.state.rpartition(">")[0] != str(before)
    } - {str(before)}
    assert again.apart == {before} and again.undecided()


def test_second_cuts_that_nobody_has_looked_at_are_missing(
    tmp_path: Path, cluster: LocalCluster
) -> None:
    found = recording(tmp_path)
    results = explore(found.folder, plan(cluster), boot=boot)
    assert results.complete
    for each in prove.proofs(found):
        if each.state.nested:
            shutil.rmtree(each.folder)
    late = explore(found.folder, plan(cluster, budget=0.0), boot=boot)
    assert not late.complete and late.counts.nested.missing > 0
    without = explore(found.folder, plan(cluster, nested=False), boot=boot)
    assert not without.complete and without.counts.undecided == 0


def test_a_worker_that_dies_changes_no_verdict(tmp_path: Path, cluster: LocalCluster) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    quiet, killed = recording(tmp_path / "one"), recording(tmp_path / "two")
    expected = explore(quiet.folder, Plan(jobs=1, seed=1), boot=boot)
    results = explore(killed.folder, plan(cluster, seed=1), boot=boot_and_die)
    assert (killed.folder / "died").exists()
    assert results.complete
    assert verdicts(results) == verdicts(expected)


def test_a_bad_state_ends_it_when_asked_to(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    early = explore(found.folder, plan(cluster, until_bad="^healthy: silence"), boot=boot_bad)
    assert Verdict.BRICKED in early.verdicts and not early.complete
    other = plan(cluster, until_bad="a reason that there is not")
    results = explore(found.folder, other, boot=boot_bad)
    assert results.complete and results.counts.booted > early.counts.booted
    assert results.verdicts[Verdict.BRICKED] >= early.verdicts[Verdict.BRICKED]


def test_a_phase_can_come_first(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    explore(
        found.folder, Plan(scheduler=cluster.scheduler_address, first=("install-2",)), boot=boot
    )
    (first, *_) = resumed(found, seed=1).booted
    assert found.phase(first.proof.state.first.at - 1) == "install-2"
    with pytest.raises(ConfigurationError, match=r"no phase instal\b"):
        explore(found.folder, Plan(first=("instal",)), boot=boot)


def test_phases_that_come_first_take_turns(tmp_path: Path, cluster: LocalCluster) -> None:
    """Of a design twelve boots were all for the tears of one write: its phase was named first."""
    found = recording(tmp_path)
    first = ("install-2", "install")
    explore(found.folder, Plan(scheduler=cluster.scheduler_address, first=first), boot=boot)
    booted = [found.phase(each.proof.state.first.at - 1) for each in resumed(found, seed=1).booted]
    assert sorted(booted[:2]) == sorted(first)


def test_the_seed_is_drawn_once(tmp_path: Path, cluster: LocalCluster) -> None:
    """An exploration that goes on has the seed of the one that was interrupted, another one its
    own, and one that is asked for counts."""
    found, seeds = recording(tmp_path), []
    for _ in range(2):
        (found.folder / "seed").unlink(missing_ok=True)
        first = explore(found.folder, plan(cluster, budget=0.0), boot=boot)
        assert explore(found.folder, plan(cluster, budget=0.0), boot=boot).seed == first.seed
        seeds.append(first.seed)
    assert seeds[0] != seeds[1]
    for wanted in (Plan(scheduler=cluster.scheduler_address, seed=3, budget=0.0), plan(cluster)):
        assert explore(found.folder, wanted, boot=boot).seed == 3
    (found.folder / "seed").write_text("three")
    with pytest.raises(ConfigurationError, match="'three' is no seed"):
        explore(found.folder, plan(cluster), boot=boot)


def test_time_that_is_over_begins_no_boot(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    results = explore(found.folder, plan(cluster, budget=0.0), boot=boot)
    assert not results.complete and results.counts.booted == 0
    assert results.counts.undecided == results.counts.cut_points


def test_a_bench_that_stays_broken_is_the_labs_fault(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    with pytest.raises(LabError, match="on fire"):
        explore(found.folder, plan(cluster), boot=boot_fails)
    assert len(list(found.folder.glob("try-*"))) == 3  # and two more tries
    assert explore(found.folder, plan(cluster), boot=boot).complete  # nothing else was lost


def boot_another(run: str, state: CrashState, task: Task) -> int:
    """A worker that has mixed up what it was to do."""
    return boot(run, parse("14/all"), task)


def boot_as_a_decider(run: str, state: CrashState, task: Task) -> int:
    """The same, of what the boot was for."""
    return boot(run, state, replace(task, sample=not task.sample))


def boot_with_another_harness(run: str, state: CrashState, task: Task) -> int:
    """A worker in another checkout, or that was started before this one was changed."""
    number = boot(run, state, task)
    proof = Proof.load(Path(run) / prove.PROOFS / f"{number:05}", Recording.load(Path(run)))
    replace(proof, asked="f" * 64).save()
    return number


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (boot_another, "a worker booted 14/all"),
        (boot_as_a_decider, "a worker booted"),
        (boot_with_another_harness, "another harness"),
    ],
)
def test_a_proof_of_something_else_than_was_asked_for_does_not_count(
    tmp_path: Path, cluster: LocalCluster, wrong: Boot, told: str
) -> None:
    found = recording(tmp_path)
    with pytest.raises(LabError, match=told):
        explore(found.folder, plan(cluster), boot=wrong)


def test_one_exploration_of_a_recording_at_a_time(tmp_path: Path, cluster: LocalCluster) -> None:
    """Two gave their boots the same numbers, and each deleted what the other had made."""
    found = recording(tmp_path)
    with (found.folder / RECORDING).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="is being explored by another process"):
            explore(found.folder, plan(cluster), boot=boot)
    explore(found.folder, plan(cluster, budget=0.0), boot=boot)


def test_no_scheduler(tmp_path: Path) -> None:
    found = recording(tmp_path)
    with pytest.raises(LabError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"):
        explore(found.folder, Plan(scheduler="tcp://127.0.0.1:9"), boot=boot)


@pytest.mark.parametrize("text", [b"9" * 5000, b"\xff\xfe", b"-1", "²".encode(), b""])
def test_a_seed_that_is_none(tmp_path: Path, text: bytes) -> None:
    found = recording(tmp_path)
    (found.folder / "seed").write_bytes(text)
    with pytest.raises(ConfigurationError, match="is no seed"):
        explore(found.folder, Plan(), boot=boot)


def test_a_folder_that_is_no_proof_is_left_alone(tmp_path: Path, cluster: LocalCluster) -> None:
    found = recording(tmp_path)
    (found.folder / prove.PROOFS / "00001.old").mkdir(parents=True)
    assert explore(found.folder, plan(cluster, budget=0.0), boot=boot).counts.booted == 0
