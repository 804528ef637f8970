"""A boot decides what agrees with it in all that it read, and nothing else; the numbers add up."""

import subprocess
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.crash.disk import ext4
from harness.crash.exploration import ends, prove, summary
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.sample import OF_EACH_RULE, choose_sample
from harness.crash.exploration.sources import sources
from harness.crash.recording.recording import Recording
from harness.crash.results.contradictions import contradictions
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError
from harness.judge.verdict import Verdict
from tests.unit.crash import recordings
from tests.unit.crash.logs import SECTOR, content
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, recording, update_log


def proof(
    found: Recording,
    state: CrashState,
    *,
    verdict: Verdict = Verdict.NEW,
    slot: str = "",
    sample: bool = False,
    came_back: bool = True,
) -> Proof:
    """The next boot that somebody has made."""
    number = len(list((found.folder / prove.PROOFS).glob("*")))
    return recordings.proof(
        found, number, state, verdict, slot=slot, sample=sample, came_back=came_back
    )


def parts(exploration: Exploration, state: CrashState) -> tuple[bytes, ...]:
    """What counts of a state here: the boot selection, and both slots."""
    data = content(sources(exploration.recording, state, prove.proofs(exploration.recording)))
    slots = (LAYOUT[name] for name in ("slot-A", "slot-B"))
    return data[:1024], *(data[slot.offset :][:2048] for slot in slots)


def ended(found: Recording) -> Exploration:
    """Every class booted, every sample drawn; each ends as a cut at its place may."""
    exploration = Exploration(found, seed=1)

    def boot(state: CrashState, *, sample: bool) -> None:
        final, slot = sorted(ends.allowed_ends(found, state.first.at))[-1]
        made = proof(found, state, verdict=Verdict(final), slot=slot, sample=sample)
        exploration.add(made, sample=sample)

    while left := exploration.undecided():
        boot(left[0].kinds[0].states[0], sample=False)
    for state in choose_sample(exploration):
        boot(state, sample=True)
    return exploration


def test_it_decides_what_agrees_and_nothing_else(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    first = next(iter(exploration.undecided())).kinds[0].states[0]
    exploration.add(proof(found, first), sample=False)
    decided, want = exploration.decided(), parts(exploration, first)
    told = {
        state: (each in decided, parts(exploration, state))
        for each in exploration.classified().classes
        for kind in each.kinds
        for state in kind.states
    }
    slots = {yes: {p[1:] for is_in, p in told.values() if is_in is yes} for yes in (True, False)}
    assert slots[True] == {want[1:]}
    assert slots[False] - slots[True]
    for state, (is_in, have) in told.items():
        if is_in:
            assert have == want, state
        elif have[1:] == want[1:]:
            assert have[0] != want[0] or b"old " in have[1] + have[2], state


def test_a_boot_of_the_first_boot_decides_no_other_cut(tmp_path: Path) -> None:
    """Not even one with the same content, nor the reverse: other questions were asked."""
    found = recording(tmp_path, factory=True)
    at = {each.name: each.start for each in found.phases}
    assert list(at)[:3] == ["factory", "provision", "boot-old"]
    exploration = Exploration(found, seed=1)
    same = parse(f"{at['provision']}/all"), parse(f"{at['boot-old'] + 3}/all")
    assert parts(exploration, same[0]) == parts(exploration, same[1])
    for state, modes in zip(same, ({True}, {True, False}), strict=True):
        made = proof(found, state, verdict=Verdict.OLD)
        update_log(made.folder / "log.bin", found.base)
        exploration.add(made, sample=False)
        assert {one.factory for one in exploration.decided()} == modes
    assert [exploration.decider(state) for state in same] == exploration.booted
    assert not [cut for cut in exploration.main.points if at["provision"] < cut <= at["boot-old"]]
    exploration.nest()
    exploration.classified()
    nested = [{one.factory for one in log.classes} for log in exploration.logs[1:]]
    assert nested == [{True}, {False}]
    results = summary.results_of(exploration, seconds=1.0, jobs=1)
    assert results.recording.phases[0].name == "factory"
    assert [each.position for each in results.writes] == list(range(found.end + 1))


def test_each_condition_comes_back_from_the_probe_once(tmp_path: Path) -> None:
    found = recording(tmp_path, factory=True)
    at = {each.name: each.start for each in found.phases}
    exploration = Exploration(found, seed=1)
    first, same, other = (
        parse(f"{at['boot-old'] + 2}/all"),
        parse(f"{at['boot-old'] + 3}/all"),
        parse(f"{found.end}/all"),
    )
    # The same content in the factory's first boot, where less is asked, shows nothing of them.
    factory = proof(found, parse(f"{at['provision']}/all"), verdict=Verdict.OLD)
    exploration.add(factory, sample=False)
    early = parse(f"{at['factory'] + 1}/all")
    wanted = {first: True, same: False, other: True, early: True}
    assert all(exploration.comes_back(state, ()) for state in wanted)
    assert not exploration.comes_back(same, [first]) and exploration.comes_back(other, [first])
    exploration.add(proof(found, first, verdict=Verdict.OLD, came_back=False), sample=False)
    assert exploration.comes_back(same, ()) and exploration.one_way() == [first]
    assert summary.results_of(exploration, seconds=1.0, jobs=1).counts.one_way == 1
    exploration.add(proof(found, first, verdict=Verdict.OLD, sample=True), sample=True)
    assert {state: exploration.comes_back(state, ()) for state in wanted} == wanted | {first: False}
    assert exploration.one_way() == []


def test_a_condition_after_two_cuts_is_what_it_is_after_one(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration, state = Exploration(found, seed=1), parse(f"{found.end}/all")

    def wrote(log: recordings.Log) -> None:
        log.data().flush().write(0, bytes(512)).flush()

    made = recordings.proof(found, 0, state, Verdict.NEW, wrote=wrote)
    exploration.add(made, sample=False)
    assert not exploration.comes_back(parse(f"{state}>1/all"), ())
    assert exploration.comes_back(parse(f"{state}>3/all"), ())  # one copy of the selection is torn


def test_what_recovery_writes_counts_as_read(tmp_path: Path) -> None:
    """A boot that recovers a journal depends on blocks that it never read, and no log writes."""
    found = recording(tmp_path)
    block = ext4.find(found.base, LAYOUT["data"]).block_size
    blocks, last = tmp_path / "blocks", DATA_SIZE // block - 2
    blocks.write_bytes(b"j" * block)
    script = tmp_path / "script"
    script.write_text(f"jo -c -v 3\njw -b {last} {blocks}\njc\n")
    device = f"{found.base}?offset={LAYOUT['data'].offset}"
    subprocess.run(["debugfs", "-w", "-f", script, device], check=True, capture_output=True)
    exploration = Exploration(found, seed=1)
    state = exploration.undecided()[0].kinds[0].states[0]
    exploration.add(proof(found, state), sample=False)
    first = (LAYOUT["data"].offset + last * block) // 512
    wanted = set(range(first, first + block // 512))
    classified = exploration.classified()
    assert exploration.booted[0].reads[first : first + block // 512].all()
    assert wanted <= set(classified.footprint.tracked.tolist())
    after = classified.footprint.seen.tolist().index(first)
    data = exploration.disk.contents.data
    assert all(data(each.picture.seen[after]) == b"j" * 512 for each in classified.classes)


def test_the_numbers_add_up_and_come_back(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = ended(found)
    results = summary.results_of(exploration, seconds=1.0, jobs=1)
    counts = results.counts
    assert counts.sampled > 0 and counts.booted > 1
    assert sum(results.verdicts.values()) == counts.cut_points == exploration.main.cut_points
    assert sum(counts.decided.values()) == counts.cut_points and counts.undecided == 0
    assert choose_sample(exploration) == []
    again = summary.results_of(resumed(found, seed=1), seconds=1.0, jobs=1)
    assert asdict(again) == asdict(results)
    # Nobody has looked at the cuts in these boots: that is no exploration without second cuts.
    assert counts.nested.missing == counts.booted and not results.complete
    assert any("second cuts are missing" in each for each in results.problems)


def test_a_boot_that_fails_makes_its_cut_points_bad(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    state = exploration.undecided()[0].kinds[0].states[0]
    exploration.add(proof(found, state, verdict=Verdict.BRICKED), sample=False)
    results = summary.results_of(exploration, seconds=1.0, jobs=1)
    assert not results.complete and not results.good
    decides = sum(each.count for each in exploration.decided())
    assert results.verdicts == {Verdict.BRICKED: decides} and decides > 1
    assert sum(bad.count for bad in results.bad) == results.verdicts[Verdict.BRICKED]
    assert {bad.reason for bad in results.bad} == {"healthy: silence"}


def test_a_sample_that_comes_out_otherwise_is_told_with_both(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    by = proof(found, exploration.undecided()[0].kinds[0].states[0])
    exploration.add(by, sample=False)
    other = choose_sample(exploration)[0]
    sampled = proof(found, other, verdict=Verdict.BRICKED, sample=True)
    exploration.add(sampled, sample=True)
    (told,) = summary.results_of(exploration, seconds=1.0, jobs=1).disagreements
    assert (told.state, told.expected, told.got) == (str(other), "new new B", "bricked")
    assert (told.proof, told.sample_proof) == (by.folder.name, sampled.folder.name)
    assert told.reason == "healthy: silence"


def test_the_sample_is_the_same_for_a_seed_and_never_booted(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    state = exploration.undecided()[0].kinds[0].states[0]
    exploration.add(proof(found, state), sample=False)
    chosen = choose_sample(exploration)
    assert chosen and chosen == choose_sample(resumed(found, seed=1))
    assert len(set(chosen)) == len(chosen) and state not in chosen


def test_the_sample_has_some_of_each_rule(tmp_path: Path) -> None:
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    while left := exploration.undecided():
        made = proof(found, left[0].kinds[0].states[0])
        exploration.add(made, sample=False)
    counts = summary.results_of(exploration, seconds=1.0, jobs=1).counts
    rules = Counter[str]()
    for state in choose_sample(exploration, least=0):
        by = exploration.decider(state)
        drawn = exploration.add(proof(found, state, sample=True), sample=True)
        assert by
        picture = exploration.look(drawn).picture
        equal = exploration.equal(state, picture, by)
        rules["equal-content" if equal else exploration.rule(picture, by)] += 1
    used = {rule for rule, number in counts.decided.items() if number} - {"booted"}
    assert used <= set(rules) and {"equal-content", "read-set"} <= used
    assert min(rules.values()) >= OF_EACH_RULE
    assert choose_sample(exploration, least=0) == []


def test_a_card_is_read_again_as_if_it_had_a_cache(tmp_path: Path) -> None:
    """Its states say so, proofs of the plain card are not among its own, and results name it."""
    found = replace(recording(tmp_path), model="sd")
    plain = Exploration(found, seed=1)
    state = plain.undecided()[0].kinds[0].states[0]
    proof(found, state)
    cached = resumed(found, seed=1, window=4)
    assert not cached.booted and len(resumed(found, seed=1).booted) == 1
    left = cached.undecided()
    assert all(str(s).endswith("~4") for one in left for kind in one.kinds for s in kind.states)
    assert cached.main.cut_points > plain.main.cut_points > 0
    cached.add(proof(found, left[0].kinds[0].states[0]), sample=False)
    results = summary.results_of(cached, seconds=1.0, jobs=1)
    assert (results.recording.model, results.counts.booted) == ("sd~4", 1)
    with pytest.raises(ConfigurationError, match="recorded on a disk, which has a cache anyway"):
        Exploration(replace(found, model="disk"), seed=1, window=4)


@pytest.mark.parametrize("when", ["probe", "boot"])
def test_what_is_read_of_the_slot_that_the_probe_overwrites(tmp_path: Path, when: str) -> None:
    """Half a version is there. By the probe it is read to save writes, by a boot for a reason."""
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    half = next(each for each in exploration.undecided() if each.slots == ("old", ""))
    run = (LAYOUT["slot-B"].offset // SECTOR, 1)
    made = proof(found, half.kinds[0].states[0], verdict=Verdict.OLD)
    reads = [*made.reads, run]
    judged = reads if when == "boot" else made.reads
    booted = exploration.add(replace(made, reads=reads, reads_judged=judged), sample=False)
    assert booted.reads[run[0]] == (when == "boot")
    assert booted.reads[0]  # the boot selection


@pytest.mark.parametrize(
    ("phase", "final", "slot", "verdict"),
    [
        ("install", Verdict.NEW, "B", Verdict.INCONSISTENT),
        ("install", Verdict.OLD, "B", Verdict.INCONSISTENT),
        ("install", Verdict.OLD, "A", Verdict.OLD),
        ("boot-new", Verdict.OLD, "A", Verdict.OLD),
        ("boot-new", Verdict.NEW, "B", Verdict.NEW),
        ("install-2", Verdict.OLD, "A", Verdict.INCONSISTENT),
        ("install-2", Verdict.NEW, "A", Verdict.INCONSISTENT),
        ("install-2", Verdict.NEW, "B", Verdict.NEW),
        ("boot-trial", Verdict.NEW, "A", Verdict.NEW),
        ("boot-trial", Verdict.NEW, "B", Verdict.NEW),
        ("boot-trial", Verdict.OLD, "A", Verdict.INCONSISTENT),
        ("rolled-back", Verdict.NEW, "A", Verdict.INCONSISTENT),
        ("rolled-back", Verdict.NEW, "B", Verdict.NEW),
    ],
)
def test_a_version_that_must_not_run_there(
    tmp_path: Path, phase: str, final: Verdict, slot: str, verdict: Verdict
) -> None:
    found = recording(tmp_path)
    at = next(each.start for each in found.phases if each.name == phase) + 1
    got, why = ends.verdict_of(
        found, at, proof(found, parse(f"{at}/all"), verdict=final, slot=slot)
    )
    assert got is verdict
    assert bool(why) == verdict.failed


def test_a_late_boot_that_ends_badly_is_never_forgotten(tmp_path: Path) -> None:
    """Made by hand, say, when another one had decided its state and many others."""
    found = recording(tmp_path)
    exploration = ended(found)
    good = summary.results_of(exploration, seconds=1.0, jobs=1)
    by = max(good.proofs, key=lambda each: each.decides)
    made = proof(found, parse(by.state), verdict=Verdict.BRICKED)
    exploration.add(made, sample=False)
    results = summary.results_of(exploration, seconds=1.0, jobs=1)
    assert results.verdicts == good.verdicts
    late = [bad for bad in results.bad if bad.proof == made.folder.name]
    assert [(bad.state, bad.verdict, bad.count) for bad in late] == [(by.state, Verdict.BRICKED, 0)]
    assert made.folder.name in {each.sample_proof for each in results.disagreements}
    assert not results.good and results.problems
    assert list(contradictions(results)) == []


def test_the_judge_reads_both_copies_of_the_selection(tmp_path: Path) -> None:
    """Also where a boot looks at one of them only."""
    found = recording(tmp_path)
    exploration = Exploration(found, seed=1)
    made = proof(found, exploration.undecided()[0].kinds[0].states[0])
    one = replace(made, reads=[(0, 1)], reads_judged=[(0, 1)])
    assert exploration.add(one, sample=False).reads[:2].all()
