"""A results.json with the shape of a real exploration: an update of a gateway and its rollback."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.crash.recording.phases import Phase
from harness.crash.recording.recording import LOG, Recording, own_files
from harness.crash.results.results import SCHEMA, Point, Write
from harness.crash.results.sampling import least_sample
from harness.crash.results.table import ResultTable
from harness.judge.identity import Identity
from harness.medium.log import HEADER, Origin, create_log
from harness.product import release as releases
from harness.product.release import Digest
from tests.unit.evidence.samples import make_release

START = 40  # records of provisioning lie before
MIB = 1 << 20
# phase, its share of the log, the verdict of a cut in it, what is written there
PLAN = (
    ("boot-old", 0.01, "old", ("ext4 superblock", "ext4 journal: descriptor + block")),
    ("install", 0.5, "old", ("bulk data", "slot B bulk data")),
    ("switch", 0.004, "old", ("grubenv copy 1", "grubenv copy 2")),
    ("reboot", 0.01, "new", ("ext4 journal: commit", "ext4 superblock")),
    ("bootloader", 0.004, "new", ("grubenv copy 1", "grubenv copy 2")),
    ("boot-new", 0.01, "new", ("ext4 superblock", "directory or file data")),
    ("commit", 0.006, "new", ("grubenv copy 1", "ext4 journal: commit")),
    ("settled", 0.01, "new", ("grubenv copy 2",)),
    ("install-2", 0.42, "new", ("bulk data", "slot A bulk data")),
    ("switch-2", 0.006, "new", ("grubenv copy 1",)),
    ("boot-trial", 0.01, "recovered", ("grubenv copy 1", "ext4 superblock")),
    ("rolled-back", 0.01, "new", ("grubenv copy 2",)),
)
_SECOND = 14  # boots of second cuts
REGIONS = {
    "bulk": ("data", 300 * MIB, 512 * 1024),
    "directory": ("data", 340 * MIB, 4096),
    "ext4": ("data", 193 * MIB, 4096),
    "slot": ("slot-B", 97 * MIB, 512 * 1024),
    "grubenv": ("boot-selection-1", MIB // 2, 512),
}


def results(positions: int = 500, *, bad: bool = False, open_end: bool = False) -> dict[str, Any]:
    """The content of results.json: good and complete, or with bad states (two bricked positions
    in `switch`, one inconsistent in `commit`), or ended early (nothing after `settled`)."""
    phases = list(_phases(positions))
    writes = [write for phase in phases for write in _writes(*phase)]
    points = [_point(write, phases, bad=bad, open_end=open_end) for write in writes]
    end = phases[-1][2]
    writes.append({"position": end, "kind": "mark", "milliseconds": end * 10})
    counted: Counter[str] = Counter()
    for point in points:
        counted.update(point["verdicts"])
    undecided = sum(point["undecided"] for point in points)
    booted = [
        _proof(number, point) for number, point in enumerate(p for p in points if p["booted"])
    ]
    proofs = [*booted, *_more_proofs(points[0], len(booted))]
    counts = _counts(sum(counted.values()), undecided, len(booted))
    nested = counts["nested"]["cut_points"] - counts["nested"]["undecided"]
    decided = sum(counted.values()) + nested
    proofs[0]["decides"] += decided - sum(proof["decides"] for proof in proofs)
    return {
        "schema": SCHEMA,
        "recording": {
            "machine": "legacy-gateway",
            "board": "gateway-qemu",
            "model": "disk",
            "old": "1.0.0",
            "new": "1.1.0",
            "start": START,
            "end": end,
            "phases": [{"name": name, "start": a, "end": b} for name, a, b, _, _ in phases],
        },
        "writes": writes,
        "points": points,
        "proofs": proofs,
        "verdicts": dict(counted),
        "counts": counts,
        "bad": [
            _bad(proof, points)
            for proof in booted
            if proof["verdict"] in ("bricked", "inconsistent")
        ],
        "disagreements": [],
        "audit": {"kinds": 618, "boots": len(proofs), "covers": "0" * 64, "odd": {}},
        "timing": {"seconds": 731.0, "boot_seconds_mean": 14.2, "jobs": 2},
        "seed": 7,
        "complete": not open_end,
    }


def disagreeing(content: dict[str, Any], got: str) -> dict[str, Any]:
    """The same, and the first sample came out otherwise than it had been decided."""
    sample = next(proof for proof in content["proofs"] if proof["sample"])
    told = {"state": sample["state"], "expected": "old old", "got": got}
    content["disagreements"] = [
        {**told, "proof": content["proofs"][0]["id"], "sample_proof": sample["id"], "why": []}
    ]
    content["counts"]["disagreements"] = 1
    return content


def write_run(folder: Path, content: dict[str, Any]) -> Path:
    """A recording with these results; returns `folder`. Its log is only as long as it must be."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = content.get("recording") or results()["recording"]
    for version in ("1.0.0", "1.1.0"):
        make_release(folder / version, version=version)
    old, new = (releases.load(folder / version) for version in ("1.0.0", "1.1.0"))
    create_log(folder / LOG, Origin(model="disk", size=512, base=""))
    os.truncate(folder / LOG, 1000 + HEADER * (told["end"] + 1))
    made = Recording(
        folder=folder,
        machine="legacy-gateway",
        board="gateway-qemu",
        model="disk",
        lab=Path("labs/qemu.yaml"),
        bench="{}",
        old=old,
        new=new,
        files=own_files(folder),
        start=told["start"],
        end=told["end"],
        phases=tuple(Phase(**phase) for phase in told["phases"]),
        server_port=1,
        clock=datetime(2026, 11, 23, tzinfo=UTC),
        seed=1,
        outcomes=(),
        probe_slot=Digest(sha256="0" * 64, size=1),
        identity=Identity(host_key="ssh-ed25519 AAAA"),
    )
    made.save()
    if "recording" in content:
        content = {**content, "recording": {"id": made.id, **told}}
    (folder / "results.json").write_text(json.dumps(packed(content)))
    return folder


def packed(content: dict[str, Any]) -> dict[str, Any]:
    """As it stands in the file: rows in columns."""
    kinds: dict[str, type[Any]] = {"writes": Write, "points": Point}
    rows = {
        key: ResultTable(kind, (kind(**row) for row in content[key])).data()
        for key, kind in kinds.items()
        if key in content
    }
    return {**content, **rows}


def _phases(positions: int) -> Iterator[tuple[str, int, int, str, tuple[str, ...]]]:
    end = START
    for number, (name, share, verdict, structures) in enumerate(PLAN):
        start, end = end, end + max(6, int(positions * share))
        if number == len(PLAN) - 1:
            end = START + positions
        if start < end:  # a short log has no room for the last one
            yield name, start, end, verdict, structures


def _writes(
    phase: str, start: int, end: int, _: str, structures: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for position in range(start, end):
        step, of = position - start, max(1, end - start)
        structure = structures[min(len(structures) - 1, step * len(structures) // of)]
        region, offset, length = REGIONS[structure.split()[0]]
        bulk = length > 4096
        if step % (40 if bulk else 4) == 3:
            yield {
                "position": position,
                "kind": "flush",
                "fua": False,
                "offset": 0,
                "length": 0,
                "milliseconds": position * 10,
                "region": "",
                "structure": "",
                "phase": phase,
            }
            continue
        yield {
            "position": position,
            "kind": "write",
            "fua": not bulk and step % 9 == 0,
            "offset": offset + (step * length if bulk else step % 8 * 4096),
            "length": length,
            "milliseconds": position * 10,
            "region": region,
            "structure": structure,
            "phase": phase,
        }


def _point(
    write: dict[str, Any], phases: list[Any], *, bad: bool, open_end: bool
) -> dict[str, Any]:
    written = write["position"]
    at = written + 1
    name, start, end, verdict, _ = next(p for p in phases if p[1] <= written < p[2])
    many = 1 + written % 40 if write["length"] > 4096 else 1 + written % 4
    if open_end and start > next(phase[1] for phase in phases if phase[0] == "settled"):
        return {"at": at, "verdicts": {}, "undecided": many, "booted": 0, "worst": "", "loss": ""}
    verdicts = {verdict: many}
    middle = (start + end) // 2
    if bad and name == "switch" and written in (middle, middle + 1):
        verdicts["bricked"] = 2
    elif bad and name == "commit" and written == middle:
        verdicts["inconsistent"] = 1
    worst = [v for v in ("old", "new", "recovered", "bricked", "inconsistent") if v in verdicts][-1]
    lost = written - (written - start) % 4  # no flush, and not flushed yet
    loss = f"without:{lost}" if worst in ("bricked", "inconsistent") else "none"
    booted = int(name not in ("install", "install-2") and written % 3 == 0) + len(verdicts) - 1
    return {
        "at": at,
        "verdicts": verdicts,
        "undecided": 0,
        "booted": booted,
        "worst": worst,
        "loss": loss,
    }


def _proof(number: int, point: dict[str, Any]) -> dict[str, Any]:
    verdict = point["worst"]
    return {
        "id": f"{number:05}",
        "state": f"{point['at']}/{point['loss']}",
        "verdict": verdict,
        "final": verdict if verdict in ("old", "new") else "new" if verdict == "recovered" else "",
        "boots": 2 if verdict == "recovered" else 1,
        "seconds": 14.0 + number % 7 / 10,
        "decides": point["verdicts"][verdict],
        "why": [_WHY[verdict]] if verdict in _WHY else [],
        "sample": False,
        "nested": False,
    }


def _more_proofs(point: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """A sample, and boots of 14 second cuts."""
    plain = _proof(0, point)
    samples = least_sample(number + _SECOND)
    for more in range(samples):
        yield {**plain, "id": f"{number + more:05}", "decides": 0, "sample": True}
    for more in range(_SECOND):
        state = f"{plain['state']}>{more}/all"
        one = {"id": f"{number + samples + more:05}", "state": state, "decides": 1, "nested": True}
        yield {**plain, **one}


_WHY = {
    "bricked": "healthy does not hold: no sign of health in boot 6",
    "inconsistent": "slot-content does not hold: runs new in slot B, whose content is "
    "neither version",
}


def _bad(proof: dict[str, Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    at = int(proof["state"].partition("/")[0])
    return {
        "state": proof["state"],
        "verdict": proof["verdict"],
        "why": proof["why"],
        "proof": proof["id"],
        "at": at,
        "count": next(p for p in points if p["at"] == at)["verdicts"][proof["verdict"]],
    }


def _counts(decided: int, undecided: int, booted: int) -> dict[str, Any]:
    return {
        "cut_points": decided + undecided,
        "losses": {
            "all": 500,
            "single": 1000,
            "pair": decided + undecided - 1540,
            "subset": 40,
        },
        "distinct": (decided + undecided) * 3 // 4,
        "booted": booted,
        "decided": {
            "booted": booted,
            "equal-content": decided // 4,
            "read-set": decided - booted - 2 * (decided // 4),
            "recovery": decided // 4,
        },
        "undecided": undecided,
        "sampled": least_sample(booted + _SECOND),
        "to_sample": least_sample(booted + _SECOND),
        "disagreements": 0,
        "nested": {
            "cut_points": 96,
            "distinct": 60,
            "booted": _SECOND,
            "undecided": 5,
            "missing": 0,
        },
    }
