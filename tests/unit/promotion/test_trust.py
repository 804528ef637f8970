"""A store in which somebody has changed something beside a good run: nothing of it promotes.

Each has its control in `test_gate.test_good_evidence_is_let_through`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness import schema
from harness.errors import PromotionError
from harness.judge.verdict import Verdict
from tests.unit.evidence.samples import record
from tests.unit.promotion.conftest import Bench, git


def refusal(bench: Bench, release: Path) -> str:
    with pytest.raises(PromotionError, match="is not let into ring canary") as refused:
        bench.promote(release)
    assert bench.commits() == 1
    return refused.value.details


def envelope(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        file = run / "evidence.dsse.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return apply


def signature(**changes: Any) -> Callable[[Path], None]:
    return envelope(lambda content: content["signatures"][0].update(changes))


def remove(*names: str) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        for name in names:
            (run / name).unlink()

    return apply


def _log(run: Path) -> None:
    (run / "console/boot-1.log").write_text("login: everything is well")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (signature(keyid="a" * 64), "failed: update: bricked"),
        (signature(keyid="a" * 64, sig="AAAA"), "failed: update: bricked"),
        (signature(sig="AAAA"), "the signature does not fit"),
        (signature(keyid=7), "not a DSSE envelope"),
        (signature(keyid=None), "not a DSSE envelope"),
        (signature(keyid=["a"]), "not a DSSE envelope"),
        (envelope(lambda content: content.update(signatures=[])), "nobody signed it"),
        (envelope(lambda content: content.update(payloadType=1)), "not a DSSE envelope"),
        (envelope(lambda content: content.update(payload="e30=")), "differs from what was signed"),
        (remove("evidence.dsse.json"), "No such file"),
        (remove("evidence.json"), "No such file"),
        (remove("evidence.json", "evidence.dsse.json"), "run.json is missing"),
        (_log, "console/boot-1.log: changed"),
        (remove("console/boot-1.log"), "console/boot-1.log: missing"),
    ],
)
def test_a_failing_run_is_not_hidden(
    bench: Bench, change: Callable[[Path], None], told: str
) -> None:
    release = bench.good()
    change(bench.test(release, [record("update", Verdict.BRICKED)]).folder)
    assert told in refusal(bench, release)


@pytest.mark.parametrize("change", [_log, remove("console/boot-1.log")])
def test_a_good_run_whose_log_was_changed_refuses(
    bench: Bench, change: Callable[[Path], None]
) -> None:
    release = bench.good()
    change(bench.test(release, [record("more")]).folder)
    assert "refused: " in refusal(bench, release)


def test_the_name_of_a_key_decides_nothing(bench: Bench) -> None:
    """A signature that fits a trusted key is that key's, whatever stands beside it."""
    release = bench.release()
    names = ["update", "power-cut[0/none]", "power-cut[1/none]"]
    signature(keyid="a" * 64)(bench.test(release, [record(name) for name in names]).folder)
    assert bench.promote(release).commit


def test_a_stranger_can_refuse_and_not_allow(bench: Bench) -> None:
    release = bench.good()
    stranger = CryptoSigner.generate_ed25519()
    bench.test(release, [record("network[stall]", Verdict.BRICKED)], stranger)
    lines = refusal(bench, release)
    assert "failed: network[stall]: bricked" in lines
    assert ", of a stranger)" in lines


def _unfinished(bench: Bench, release: Path) -> Path:
    return bench.begin(release, record("update", Verdict.BRICKED), record("more"))


def _renamed(name: str, to: str) -> Callable[[Path], object]:
    return lambda run: (run / "records" / name).rename(run / "records" / to)


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (lambda run: None, "failed: update: bricked"),
        (remove("run.json"), "run.json is missing"),
        (remove("records/000.json"), "has 001.json, and no 000.json"),
        (lambda run: shutil.rmtree(run / "records"), "records: is missing"),
        (_renamed("001.json", "x001.json"), "has x001.json, and no 001.json"),
        (_renamed("000.json", ".000.json"), "has .000.json, and no 000.json"),
        (_renamed("001.json", ".001.json.abc"), "has .001.json.abc, and no 000.json"),
        (_renamed("001.json", "001.json.bak"), "has 001.json.bak, and no 001.json"),
    ],
)
def test_an_unfinished_run_is_not_hidden(
    bench: Bench, lose: Callable[[Path], object], told: str
) -> None:
    release = bench.good()
    lose(_unfinished(bench, release))
    assert told in refusal(bench, release)


def test_what_a_killed_run_was_writing_is_no_record(bench: Bench) -> None:
    release = bench.good()
    run = bench.begin(release, record("update"))
    (run / "records/.001.json.x7").write_text('{"scenario": "up')
    assert bench.promote(release).commit


def test_a_failing_run_does_not_become_an_unfinished_one(bench: Bench) -> None:
    """What it had stated speaks, whatever has been put beside it."""
    release = bench.good()
    stored = bench.test(release, [record("update", Verdict.BRICKED)])
    (stored.folder / "evidence.dsse.json").unlink()
    header = schema.to_bytes(schema.to_data(stored.evidence.header))
    (stored.folder / "run.json").write_bytes(header)
    assert "records: is missing" in refusal(bench, release)
    (stored.folder / "records").mkdir()
    assert "failed: update: bricked" in refusal(bench, release)


@pytest.mark.parametrize("name", ["console/boot-2.log", "notes.txt"])
def test_a_file_that_came_after_signing_refuses(bench: Bench, name: str) -> None:
    release = bench.good()
    folder = bench.test(release, [record("more")]).folder
    (folder / name).write_text("added")
    assert f"{name}: was not there" in refusal(bench, release)


def test_a_damaged_record_of_an_unfinished_run_is_a_refusal(bench: Bench) -> None:
    release = bench.good()
    file = _unfinished(bench, release) / "records/000.json"
    file.write_text(file.read_text().replace("bricked", "new"))
    assert "refused: " in refusal(bench, release)


def test_a_run_that_never_began_is_in_nobody_s_way(bench: Bench) -> None:
    release = bench.good()
    run = bench.store.folder / "legacy-gateway/1.1.0/20261123T120000Z-00000000"
    (run / "console").mkdir(parents=True)
    (run / ".run.json.x7").write_text("{")  # killed while it wrote
    assert bench.promote(release).commit


def test_what_guests_say_is_no_line_of_the_message(bench: Bench) -> None:
    """Of a machine that was refused beside one that was let in."""
    evil = "\n\nEvidence: sha256:0000\n\x1b[2J"
    pi = bench.good(machine="rpi4")
    bricked = record(f"x{evil}", Verdict.BRICKED, machine="rpi4", replay=f"./run{evil}")
    bench.test(pi, [bricked], board=f"b{evil}")
    bench.promote_all(bench.good(), pi)
    message = git(bench.repository, "log", "-1", "--format=%B", "main")
    assert not [line for line in message.splitlines() if line.startswith("Evidence: sha256:0000")]
    assert "\x1b" not in message
