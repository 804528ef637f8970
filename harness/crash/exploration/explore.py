"""Explores a recording: boots crash states until every one of its cut points is decided.

The order: classes of the recorded update, large and odd ones in turns (`order`); then the cuts in
the boots that followed (nested), of each kind one; then a seeded sample of the states that no boot
of their own decided. Each finished boot is a folder on disk, so an exploration that was interrupted
goes on where it was.
"""

import contextlib
import fcntl
import logging
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from dask.distributed import Client, Future, wait

from harness.crash.equivalence.classes import StateClass
from harness.crash.exploration import audit, carried, ends, questions, summary, workers
from harness.crash.exploration.cluster import connected
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import PROOFS, Proof
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.sample import choose_sample
from harness.crash.recording.recording import FILE, Recording
from harness.crash.recording.schema import file_bytes
from harness.crash.results import results
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError, LabError
from harness.log import progress, step

logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells every connection
SEED = "seed"  # file in the recording's folder
_RETRIES = 2  # of a boot that failed for the lab's fault
Boot = Callable[[str, CrashState, workers.Task], int]  # see `workers.boot`


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to explore. `budget`: seconds after which no further boot begins."""

    budget: float = float("inf")
    jobs: int = 2
    scheduler: str = ""  # address of a Dask scheduler; empty: workers of our own
    seed: int | None = None  # none: the recording's exploration has one, or gets one
    card_cache: int = 0  # answered writes that the recording's card may lose all the same
    nested: bool = True
    first: tuple[str, ...] = ()  # phases whose cut points are decided before all others
    proofs_of: tuple[Path, ...] = ()  # explored recordings, whose proofs are used where they hold
    # Stop at the first failing verdict for a reason with this regular expression in it.
    until_bad: str | None = None


@dataclass(frozen=True, slots=True)
class _Flying:
    """A boot that has not ended."""

    state: CrashState
    task: workers.Task


@dataclass(slots=True)
class _Underway:
    """What is under way."""

    exploration: Exploration
    plan: Plan
    client: Client
    boot: Boot
    began: float = field(default_factory=time.monotonic)
    token: str = field(default_factory=lambda: uuid4().hex)  # others may use the scheduler, too
    number: int = 0
    missing: Callable[[], list[StateClass]] = list
    flying: dict[Future[int], "_Flying"] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether no further boot may begin."""
        return self.bad or time.monotonic() - self.began > self.plan.budget

    @property
    def bad(self) -> bool:
        """Whether what was looked for has been found."""
        return any(self._is_bad(each.proof) for each in self.exploration.booted)

    def comes_back(self, state: CrashState) -> bool:
        """Whether a boot of a state is to come back after the probe."""
        under_way = [each.state for each in self.flying.values() if each.task.comes_back]
        return self.exploration.comes_back(state, under_way)

    def _is_bad(self, proof: Proof) -> bool:
        if self.plan.until_bad is None:
            return False
        at = proof.state.first.at
        verdict, why = ends.verdict_of(self.exploration.recording, at, proof)
        told = re.search(self.plan.until_bad, "\n".join(why), re.MULTILINE)
        return verdict.failed and told is not None


def explore(folder: Path, plan: Plan, *, boot: Boot = workers.boot) -> results.Results:
    """Explore the recording in `folder`; writes and returns its results.json. `boot` is what a
    worker does with a state.

    Raises LabError when boots fail for the lab's fault more often than they may, or somebody else
    explores it, ConfigurationError
    for a phase that the recording has not got, for anything that is not what was recorded, and for
    a scheduler that is open to others.
    """
    recording = Recording.load(folder)
    with _alone(folder):
        return _explored(recording, plan, boot)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two explorations of a recording would make boots of the same numbers. LabError for a second
    one, on this host."""
    with (folder / FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"{folder}: is being explored by another process", hint="wait for it, or end it"
            ) from None
        yield


def _explored(recording: Recording, plan: Plan, boot: Boot) -> results.Results:
    folder = recording.folder
    with step("verify", run=str(folder)):
        recording.verify()
    phases = [phase.name for phase in recording.phases]
    if unknown := [name for name in plan.first if name not in phases]:
        raise ConfigurationError(
            f"{folder}: no phase {', '.join(unknown)}", hint=f"its phases: {', '.join(phases)}"
        )
    if plan.proofs_of:
        carried.take(recording, plan.proofs_of)
    seed = _seed(folder, plan.seed)
    with step("enumerate", run=str(folder), seed=seed):
        exploration = resumed(recording, seed=seed, window=plan.card_cache)
        exploration.classified()
    began = time.monotonic()
    with step("explore", run=str(folder)), connected(plan.scheduler, jobs=plan.jobs) as client:
        run = _Underway(exploration, plan, client, boot)
        run.number = _next_number(folder)
        try:
            before = -1
            while before < len(exploration.booted):  # what is booted last may have read more
                before = len(exploration.booted)
                _round(run)
        finally:
            client.cancel(list(run.flying))
    with step("results"):
        seconds = time.monotonic() - began + _earlier(folder)
        return summary.write(exploration, folder, seconds=seconds, jobs=plan.jobs)


def _round(run: _Underway) -> None:
    """All that is missing as far as is known, in order."""
    exploration = run.exploration
    _decide(run, exploration.undecided)
    while run.plan.nested and not run.over and exploration.nest():
        _decide(run, exploration.second_cuts)
        _decide(run, exploration.undecided)  # those boots may have read something new
    _audit(run)
    _come_back(run)
    if not run.over:
        _sample(run)


def _audit(run: _Underway) -> None:
    """Ask the real readers whether what is decided alike is alike; boot what they tell apart."""
    exploration = run.exploration
    if exploration.cut_again:  # second cuts are counted of all boots, or of none
        exploration.nest()
    before = audit.load(exploration.recording)
    odd = dict(before.odd) if before else {}
    while not run.bad and audit.made(exploration) is None:
        with step("audit"):
            made = audit.audit(exploration, exploration.deciding(), threads=run.plan.jobs)
        odd |= made.odd
        exploration.tell_apart(map(parse, made.odd))
        if made.odd:
            made = replace(made, covers=audit.UNFINISHED)
        audit.save(replace(made, odd=odd), exploration.recording.folder)
        _decide(run, exploration.undecided)


def _decide(run: _Underway, missing: Callable[[], list[StateClass]]) -> None:
    """Boot one state of each class that is missing until none is."""
    run.missing = missing

    def wanted() -> Iterator[CrashState]:
        flying = {each.state for each in run.flying.values()}
        turns = _Turns.of(run)
        for each in sorted(missing(), key=lambda one: turns.of_class(_states(one))):
            states = _states(each)
            if not flying.intersection(states):
                yield min(states, key=turns.of_state)

    _boot_all(run, wanted, sample=False)


def _come_back(run: _Underway) -> None:
    """Boot states once more, as samples, that decided others and have an aspect that none came back
    from."""
    asked = run.exploration.one_way()

    def wanted() -> Iterator[CrashState]:
        if asked:
            yield asked.pop()

    run.missing = list
    _boot_all(run, wanted, sample=True)


def _states(one: StateClass) -> list[CrashState]:
    """Of a class, its largest kind first: once more is read, it may fall apart into its kinds."""
    kinds = sorted(one.kinds, key=lambda kind: -kind.count)
    return [state for kind in kinds for state in kind.states]


@dataclass(frozen=True, slots=True)
class _Turns:
    """The phases that come first take turns, or the sectors of one write could use up a budget.
    Next is the one of which the fewest states were booted."""

    recording: Recording
    made: Mapping[str, int]  # by phase

    @classmethod
    def of(cls, run: _Underway) -> "_Turns":
        recording = run.exploration.recording
        booted = [each.proof.state for each in run.exploration.booted if not each.sample]
        under_way = [each.state for each in run.flying.values()]
        made = Counter(recording.phase(each.first.at - 1) for each in (*booted, *under_way))
        return cls(recording, {phase: made[phase] for phase in run.plan.first})

    def of_state(self, state: CrashState) -> float:
        """The less the sooner; infinite outside of those phases."""
        if not self.made:
            return math.inf
        return self.made.get(self.recording.phase(state.first.at - 1), math.inf)

    def of_class(self, states: Sequence[CrashState]) -> float:
        """Of its state that is next."""
        return min(map(self.of_state, states))


def _sample(run: _Underway) -> None:
    """Boot states that others decided, and see whether they agree."""
    chosen = choose_sample(run.exploration)
    run.missing = list

    def wanted() -> Iterator[CrashState]:
        if chosen:
            yield chosen.pop()

    _boot_all(run, wanted, sample=True)


def _boot_all(run: _Underway, wanted: Callable[[], Iterator[CrashState]], *, sample: bool) -> None:
    """Keep the workers busy with wanted states until there are none and all have come back."""
    folder = str(run.exploration.recording.folder.resolve())
    while True:
        while len(run.flying) < _width(run) and not run.over:
            state = next(wanted(), None)
            if state is None:
                break
            key = f"boot-{run.number:05}-{run.token}"
            task = workers.Task(
                number=run.number,
                sample=sample,
                comes_back=sample or run.comes_back(state),
                follows=run.exploration.followed_log(state),
            )
            future = run.client.submit(run.boot, folder, state, task, key=key, retries=_RETRIES)
            run.flying[future] = _Flying(state, task)
            run.number += 1
        if not run.flying:
            return
        for future in wait(list(run.flying), return_when="FIRST_COMPLETED").done:
            _land(run, future)


def _land(run: _Underway, future: Future[int]) -> None:
    """A boot has come back."""
    landed = run.flying.pop(future)
    if future.status != "finished":
        error = future.exception()
        raise (
            error if isinstance(error, LabError) else LabError(f"{landed.state}: {error}")
        ) from error
    folder = run.exploration.recording.folder / PROOFS / f"{future.result():05}"
    proof = Proof.load(folder, run.exploration.recording)
    _require_asked(landed, proof)
    run.seconds.append(proof.seconds)
    run.exploration.add(proof, sample=landed.task.sample)
    left = 0 if run.bad else len(run.missing())  # what is left may take minutes to be worked out
    done = len(run.exploration.booted)
    mean = sum(run.seconds) / len(run.seconds)
    progress("explore", done, done + left, eta=round(left * mean / max(1, _width(run))))


def _require_asked(landed: _Flying, proof: Proof) -> None:
    """LabError for the proof of another boot than the one that was asked for: of workers that have
    another harness than this, or another recording."""
    wanted = (landed.state, landed.task.sample, landed.task.follows)
    if (proof.state, proof.sample, proof.follows) != wanted:
        raise LabError(f"{proof.folder}: asked for {landed.state}, a worker booted {proof.state}")
    if proof.asked != questions.digest():
        raise LabError(
            f"{landed.state}: its worker has another harness than this",
            hint="it was changed while it ran, here or there: end the workers, and explore again",
        )


def _width(run: _Underway) -> int:
    """How many boots at once."""
    if not run.plan.scheduler:
        return run.plan.jobs
    threads: dict[str, int] = run.client.nthreads()
    return max(1, sum(threads.values()))


def _seed(folder: Path, asked: int | None) -> int:
    """The exploration's seed: as asked for, else as before, else a new one. It is kept, so that an
    exploration that was interrupted goes on with the same states."""
    file = folder / SEED
    if asked is None and file.exists():
        text = file_bytes(file, hint="delete it")[:20].decode(errors="replace").strip()
        if not re.fullmatch(r"\d{1,14}", text, re.ASCII):
            raise ConfigurationError(f"{file}: {text!r} is no seed", hint="delete it")
        return int(text)
    seed = secrets.randbelow(1 << 32) if asked is None else asked
    file.write_text(f"{seed}\n", encoding="ascii")
    return seed


def _earlier(folder: Path) -> float:
    """Seconds that explorations of the recording have taken before, as far as that is known."""
    try:
        return float(results.load(folder).timing.get("seconds", 0.0))
    except ConfigurationError:  # none, or one that is about to be replaced
        return 0.0


def _next_number(folder: Path) -> int:
    taken = [int(p.name) for p in (folder / PROOFS).glob("[0-9]*") if p.name.isdecimal()]
    return max(taken, default=-1) + 1
