"""Results that say two things are refused where they are read, whoever reads them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.crash.results.results import load
from harness.errors import ConfigurationError
from tests.unit.crash.samples import START, disagreeing, results, write_run

Content = dict[str, Any]


def of_the_middle(content: Content) -> None:
    """Only some positions, as from a log that was cut, and no boots."""
    kept = range(START, START + 250)
    content["writes"] = [each for each in content["writes"] if each["position"] in kept]
    content["points"] = [each for each in content["points"] if each["at"] - 1 in kept]
    total = sum(sum(each["verdicts"].values()) for each in content["points"])
    content["proofs"] = []
    content["verdicts"] = {"old": total}
    content["counts"] |= {"cut_points": total, "distinct": 1, "booted": 0, "sampled": 0}
    content["counts"] |= {"decided": {"read-set": total}, "to_sample": 0, "nested": {}}


def a_position_twice(content: Content) -> None:
    content["points"][7] = content["points"][6]


def a_record_missing(content: Content) -> None:
    del content["writes"][9]


def positions_swapped(content: Content) -> None:
    content["points"][3:5] = reversed(content["points"][3:5])


def other_totals(content: Content) -> None:
    content["verdicts"]["old"] += 1
    content["verdicts"]["new"] -= 1


def good_totals(content: Content) -> None:
    """The bad ones are told as old: at their positions they stay bad."""
    bricked = content["verdicts"].pop("bricked")
    content["verdicts"]["old"] += bricked


def more_rules(content: Content) -> None:
    content["counts"]["decided"]["read-set"] += 1


def less_undecided(content: Content) -> None:
    content["counts"]["undecided"] -= 1
    content["counts"]["decided"]["read-set"] += 1


def more_booted(content: Content) -> None:
    content["counts"]["booted"] += 1


def booted_by_no_rule(content: Content) -> None:
    content["counts"]["decided"]["booted"] -= 1
    content["counts"]["decided"]["read-set"] += 1


def small_sample(content: Content) -> None:
    content["counts"]["sampled"] = content["counts"]["to_sample"] = 2


def sample_of_nobody(content: Content) -> None:
    content["counts"]["sampled"] = 21


def no_sample_at_all(content: Content) -> None:
    content["proofs"] = [each for each in content["proofs"] if not each["sample"]]
    content["counts"]["sampled"] = content["counts"]["to_sample"] = 0


def more_second_cuts_booted(content: Content) -> None:
    content["counts"]["nested"]["booted"] += 1


def more_second_cuts_undecided(content: Content) -> None:
    content["counts"]["nested"]["undecided"] = 97


def complete_without_a_way_back(content: Content) -> None:
    content["counts"]["one_way"] = 1


def deciding_more(content: Content) -> None:
    content["proofs"][1]["decides"] += 1


def a_verdict_of_no_boot(content: Content) -> None:
    for each in content["proofs"]:
        if each["verdict"] == "recovered":
            each["verdict"] = "new"


def a_bad_state_forgotten(content: Content) -> None:
    del content["bad"][0]


def a_bad_state_of_no_proof(content: Content) -> None:
    content["bad"][0]["proof"] = "99999"


def a_bad_proof_that_is_good(content: Content) -> None:
    number = content["bad"][0]["proof"]
    next(each for each in content["proofs"] if each["id"] == number)["verdict"] = "old"


def a_bad_state_too_many(content: Content) -> None:
    content["bad"].append(content["bad"][0])
    content["counts"]["nested"] = {"cut_points": 0}


def a_worst_that_is_not(content: Content) -> None:
    next(each for each in content["points"] if "bricked" in each["verdicts"])["worst"] = "old"


def a_proof_twice(content: Content) -> None:
    content["proofs"][3]["id"] = content["proofs"][2]["id"]


def a_second_cut_that_is_none(content: Content) -> None:
    content["proofs"][-1]["state"] = "41/all"


def a_state_behind_the_end(content: Content) -> None:
    content["proofs"][1]["state"] = "600/all"


def a_loss_that_is_none(content: Content) -> None:
    content["points"][5]["loss"] = "some"


def complete_with_undecided(content: Content) -> None:
    content["complete"] = True


def complete_with_missing(content: Content) -> None:
    content["counts"]["nested"]["missing"] = 1


def disagreements_uncounted(content: Content) -> None:
    disagreeing(content, "bricked")["counts"]["disagreements"] = 0


def disagreement_of_no_boot(content: Content) -> None:
    disagreeing(content, "bricked")["disagreements"][0]["sample_proof"] = "99999"


def fewer_than_distinct(content: Content) -> None:
    content["counts"]["distinct"] = content["counts"]["cut_points"] + 1


def below_nothing(content: Content) -> None:
    content["points"][0]["verdicts"] = {"old": -3, "new": 4}


def before_the_disk(content: Content) -> None:
    content["writes"][4]["offset"] = -512


def carried_by_nobody(content: Content) -> None:
    content["counts"]["decided"]["read-set"] -= 5
    content["counts"]["decided"]["carried"] = 5


def a_carried_failure(content: Content) -> None:
    number = content["bad"][0]["proof"]
    proof = next(each for each in content["proofs"] if each["id"] == number)
    proof["carried"] = "0" * 64


CASES: list[tuple[Callable[[Content], None], Content, str]] = [
    (of_the_middle, {}, r"writes: 250 records, 40 to 289, are not all from 40 to 554"),
    (a_position_twice, {}, "points: 514 log positions are not one behind each write"),
    (a_record_missing, {}, "writes: 514 records, 40 to 554, are not all from 40 to 554"),
    (positions_swapped, {}, "points: 514 log positions are not one behind each write"),
    (other_totals, {}, r"verdicts\.old: 5,006, but the log positions have 5,005"),
    (good_totals, {"bad": True}, r"verdicts\.bricked: 0, but the log positions have 4"),
    (more_rules, {}, r"counts\.decided: add up to 9,316 of 9,315 cut points"),
    (less_undecided, {"open_end": True}, r"counts\.undecided: 4,232, the log positions have"),
    (more_booted, {}, r"counts\.booted: 19, but 18 proofs are neither"),
    (booted_by_no_rule, {}, r"counts\.booted: 18, but 18 proofs are neither"),
    (small_sample, {}, r"counts\.sampled: 2 of 20 that are asked for"),
    (sample_of_nobody, {}, r"counts\.sampled: 21, but 20 proofs are samples"),
    (no_sample_at_all, {}, r"counts\.sampled: 0 of 20 that are asked for"),
    (more_second_cuts_booted, {}, r"counts\.nested\.booted: 15, but 14 proofs"),
    (more_second_cuts_undecided, {}, r"counts\.nested: more states than 96 cut points"),
    (deciding_more, {}, r"proofs: decide 9,407 of 9,406 cut points"),
    (a_verdict_of_no_boot, {}, r"verdicts\.recovered: no proof ended so"),
    (a_bad_state_forgotten, {"bad": True}, r"bad: 2 of 4 bricked cut points"),
    (a_bad_state_of_no_proof, {"bad": True}, r"bad\.\S+: no proof '99999' that ends bricked"),
    (a_bad_proof_that_is_good, {"bad": True}, r"bad\.\S+: no proof '\d+' that ends bricked"),
    (a_bad_state_too_many, {"bad": True}, r"bad: more cut points than are bad"),
    (a_worst_that_is_not, {"bad": True}, r"points\.worst: 'old' of .*bricked"),
    (a_proof_twice, {}, r"proofs: an id occurs twice"),
    (a_second_cut_that_is_none, {}, r"proofs\.\d+: '41/all' is no such state"),
    (a_state_behind_the_end, {}, r"proofs\.\d+: '600/all' is no such state"),
    (a_loss_that_is_none, {}, r"points\.loss: '46/some' is no crash state"),
    (complete_with_undecided, {"open_end": True}, r"complete: true, but something is undecided"),
    (complete_with_missing, {}, r"complete: true, but something is undecided or missing"),
    (complete_without_a_way_back, {}, r"complete: true, but something is undecided or missing"),
    (disagreements_uncounted, {}, r"counts\.disagreements: 0, 1 are named"),
    (disagreement_of_no_boot, {}, r"disagreements\.\S+: of proofs that there are not"),
    (fewer_than_distinct, {}, r"counts: more states than 9,315 cut points"),
    (below_nothing, {}, r"points\.verdicts: "),
    (carried_by_nobody, {}, r"counts\.decided\.carried: 5, but carried proofs decide 0"),
    (a_carried_failure, {"bad": True}, r"proofs: a carried one that decides nothing, or failed"),
    (before_the_disk, {}, r"writes\.offset: below 0"),
]


@pytest.mark.parametrize(("change", "kind", "told"), CASES, ids=[c[0].__name__ for c in CASES])
def test_a_contradiction_is_refused(
    tmp_path: Path, change: Callable[[Content], None], kind: Content, told: str
) -> None:
    content = results(**kind)
    load(write_run(tmp_path, content))  # nothing is wrong with it before
    change(content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load(write_run(tmp_path, content))
    assert "explore the recording again" in caught.value.hint


@pytest.mark.parametrize("seconds", [1e11, 1e300, -1.0])
def test_a_time_that_nothing_can_have_taken_is_refused(tmp_path: Path, seconds: float) -> None:
    """It was an OverflowError when the record was signed, with a run begun in the store."""
    content = results()
    content["timing"]["seconds"] = seconds
    with pytest.raises(ConfigurationError, match=r"timing\.seconds"):
        load(write_run(tmp_path, content))


def test_rows_are_counted_before_they_are_made(tmp_path: Path) -> None:
    """Of a run length of 10^10 nothing is ever unrolled."""
    run = write_run(tmp_path, results())
    content = json.loads((run / "results.json").read_text())
    for name in ("position", "kind"):
        column = content["writes"][name]
        numbers = column if isinstance(column, list) else column["runs"]
        numbers[1] = 10**10
    (run / "results.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=re.escape("column position: more than 555 rows")):
        load(run)
