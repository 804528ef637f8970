"""The cut points of a variant's update: recorded once, explored within a time, signed, counted.

What is asked is what `harness crash` asks of any recording. Recorded with the version whose health
check fails, where the design has one: its rollback has cut points, too. First come the phases in
which the boot selection changes, and what is written after an acknowledgement.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.crash.recording.recording import Recording
from harness.crash.results import results as crash_results
from harness.crash.results.results import Bad, Results
from harness.deadline import Deadline
from harness.designs.design import NEW, OLD, OUT, Design
from harness.designs.results import CutFinding, Explored
from harness.errors import ConfigurationError
from harness.evidence import signing, store
from harness.evidence.explored import SCENARIO

LEAST = 60.0  # seconds that an exploration must have
_RECORDING = Path(OUT) / "recording"
_UNWELL = "failing-service"  # of the bad versions, the one that a health check leaves
_FIRST = ("switch", "installed", "commit", "settled", "switch-2", "reject")
_TOLD = 20  # kinds of bad ends that are stored, those of most cut points

Child = Callable[[str, Sequence[str | Path]], str]  # a name, a command of the harness: its answer


@dataclass(frozen=True, kw_only=True)
class DesignExploration:
    """In the design's folder, where its images are in `out`."""

    design: Design
    child: Child
    newer: str = ""  # what is installed after each cut, see `harness.crash.recording.probe`

    def made(self, limit: Deadline | None) -> Explored:
        """Goes on where it was. HarnessError where nothing can be recorded, explored or signed."""
        if not _RECORDING.exists():
            self.child("record", self._record())
        first = [word for name in self._phases() for word in ("--first", name)]
        rest = ["--budget", f"{limit.left():.0f}s"] if limit else []
        words: list[str | Path] = ["crash", "explore", _RECORDING, "--jobs", "1"]
        self.child("explore", [*words, *first, *rest, "--json"])
        return self._signed()

    def _record(self) -> list[str | Path]:
        words: list[str | Path] = ["crash", "record", f"{OUT}/{NEW}", "--from", f"{OUT}/{OLD}"]
        bad = [version for version, broken in self.design.broken.items() if broken == _UNWELL]
        words += ["--bad", f"{OUT}/{bad[0]}"] if bad else []
        words += ["--newer", f"{OUT}/{self.newer}"] if self.newer else []
        return [
            *words,
            "--board",
            self.design.board,
            "--lab",
            "lab.yaml",
            "-o",
            _RECORDING,
            "--json",
        ]

    def _phases(self) -> Iterator[str]:
        """Those of the recording that come first."""
        recorded = {phase.name for phase in Recording.load(_RECORDING).phases}
        return (name for name in _FIRST if name in recorded)

    def _signed(self) -> Explored:
        """What was found, when the evidence of it verifies."""
        words: list[str | Path] = ["crash", "report", _RECORDING, "--store", f"{OUT}/evidence"]
        answer = json.loads(self.child("report", [*words, "--json"]))
        run = store.load(Path(answer["evidence"]), [signing.load_signer().public_key])
        if SCENARIO not in [each.scenario for each in run.evidence.records]:
            raise ConfigurationError(f"{run.folder}: has no record of an exploration")
        return _counted(crash_results.load(_RECORDING))


def _counted(found: Results) -> Explored:
    counts = found.counts
    return Explored(
        total=counts.cut_points,
        decided=counts.cut_points - counts.undecided,
        bad=sum(number for verdict, number in found.verdicts.items() if verdict.failed),
        boots=counts.booted,
        minutes=round(sum(found.timing.values()) / 60, 1),
        found=tuple(_findings(found)),
    )


def _findings(found: Results) -> list[CutFinding]:
    """Bad ends that are alike are one, with how many cuts come to it (second ones, in the boot that
    followed, are counted in: some come to the same content), most first."""
    alike: dict[tuple[str, str, tuple[str, ...]], list[Bad]] = {}
    for each in found.bad:
        key = (_phase(found, each.at), str(each.verdict), each.why)
        alike.setdefault(key, []).append(each)
    told = [_finding(phase, all_of) for (phase, _, _), all_of in alike.items()]
    return sorted(told, key=lambda each: -each.cuts)[:_TOLD]


def _finding(phase: str, alike: Sequence[Bad]) -> CutFinding:
    one = min(alike, key=lambda each: ">" in each.state)  # a single cut where there is one
    return CutFinding(
        phase=phase,
        verdict=one.verdict,
        why=one.why,
        cuts=sum(each.count for each in alike),
        state=one.state,
        replay=f"harness crash replay {_RECORDING} --state '{one.state}'",
    )


def _phase(found: Results, at: int) -> str:
    """In which the cut was; the newest record has been issued there."""
    inside = (each.name for each in found.recording.phases if each.start < at <= each.end)
    return next(inside, "start")
