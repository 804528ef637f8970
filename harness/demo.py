"""The main job, once, on two generations of QEMU boards: good releases promoted together, a broken
one refused.

Each generation is a process of its own (`harness demo --machine`), both at the same time.
Everything is real and nothing is kept from an earlier demo but the build cache: the release
repository and the evidence store are made anew below `folder`.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness import project
from harness.builders import builder
from harness.errors import HarnessError, PromotionError
from harness.evidence import signing
from harness.evidence.store import EvidenceStore, Stored
from harness.evidence.store import load as load_run
from harness.log import step
from harness.product.release import Release
from harness.promotion.promote import Promotion, promote
from harness.promotion.starter import StarterPolicy, init_repository
from harness.scenarios import children, runner
from harness.scenarios.children import Job, Tell
from harness.scenarios.invocation import Selection

# What both generations run, and what the policy of the demo's release repository asks for.
SCENARIOS = ("update", "power-cut[switch/all]")
# What a broken version is caught by: its health check lets a version without network stay.
CATCHES = "bad-update[no-network]"
# What only the faster board has the time for.
MORE = (CATCHES, "network[flip@50%]")
BROKEN = "health-always-yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A machine of the demo: recipe (of the checkout), board, what it runs; and whether a broken
    version, too."""

    recipe: str
    board: str
    scenarios: tuple[str, ...]
    broken: bool = False

    @property
    def old(self) -> Release:
        """The version in the field."""
        return self._build("1.0.0")

    @property
    def new(self) -> Release:
        """The version to prove."""
        return self._build("1.1.0")

    @property
    def bad(self) -> Release:
        """A later version that must not get through."""
        return self._build("1.2.0", BROKEN)

    def _build(self, version: str, *variants: str) -> Release:
        by, recipe = builder.named(builder.DEFAULT), project.named(self.recipe)
        return by.build(recipe, version=version, variants=variants)


GENERATIONS = {
    "legacy-gateway": Generation(
        recipe="images/legacy-gateway",
        board="gateway-qemu",
        scenarios=(*SCENARIOS, *MORE),
        broken=True,
    ),
    "rpi4": Generation(recipe="images/rpi4", board="rpi4-qemu", scenarios=SCENARIOS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo came to."""

    repository: Path
    good: tuple[Stored, ...]  # one a machine
    promotion: Promotion
    broken: Stored
    refusal: PromotionError


def demo(lab: Path, folder: Path, *, show: Callable[[Sequence[Stored]], None], tell: Tell) -> Demo:
    """Build all releases, prove or disprove them, promote what may be promoted.

    `show` is called with the evidence of the good releases, then of the broken one; `tell` with
    each line that a machine prints. Raises DeviceError when a good release fails, and HarnessError
    when the gate lets the broken one through.
    """
    signer = signing.load_signer()  # before anything is built that nobody could sign for
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = EvidenceStore(folder / "evidence")
    good = [generation.new for generation in GENERATIONS.values()]
    bad = next(each.bad for each in GENERATIONS.values() if each.broken)

    proven, disproven = _both(lab, store, signer, tell)
    for runs in (proven, disproven):
        show(runs)
    for run in proven:
        runner.require_passed(run)
    repository = _repository(folder / "releases.git", good, lab, signer)
    folders = [release.folder for release in good]
    promotion = promote(*folders, ring="canary", repo=str(repository), store=store)
    try:
        promote(bad.folder, ring="canary", repo=str(repository), store=store)
    except PromotionError as refusal:
        if f"failed: {CATCHES}" not in refusal.details:
            raise HarnessError(
                "the broken release was refused, but not for what is broken in it",
                details=refusal.details,
            ) from refusal
        return Demo(
            repository=repository,
            good=tuple(proven),
            promotion=promotion,
            broken=disproven[0],
            refusal=refusal,
        )
    raise HarnessError("the gate let a broken release through: do not trust this harness")


def one_machine(machine: str, lab: Path, store: EvidenceStore) -> list[Stored]:
    """A generation's part: its good release proven and, where there is one, its broken one not."""
    generation = GENERATIONS[machine]
    old, new = generation.old, generation.new
    proof = Selection(
        release=new.folder,
        from_release=old.folder,
        boards=(generation.board,),
        lab=lab,
        scenarios=generation.scenarios,
    )
    runs = [runner.run_scenarios(proof, store)]
    if generation.broken:
        disproof = replace(
            proof, release=generation.bad.folder, from_release=new.folder, scenarios=(CATCHES,)
        )
        runs.append(runner.run_scenarios(disproof, store))
    return runs


def _both(
    lab: Path, store: EvidenceStore, signer: CryptoSigner, tell: Tell
) -> tuple[list[Stored], list[Stored]]:
    """Every generation in a process of its own: the runs of good releases, those of broken ones."""
    words = ("demo", "--lab", lab.resolve(), "--store", store.folder.resolve(), "--machine")
    jobs = [Job(name=machine, words=(*words, machine)) for machine in GENERATIONS]
    with step("scenarios", machines=list(GENERATIONS)):
        ended = children.run_all(jobs, tell=tell)
    errors = {each.name: error for each in ended if (error := each.error())}
    if errors:
        raise children.worst(errors)
    runs = [
        load_run(Path(folder), [signer.public_key])
        for each in ended
        for folder in json.loads(each.answer)["runs"]
    ]
    good = [run for run in runs if not run.evidence.subject.variants]
    return good, [run for run in runs if run not in good]


def _repository(path: Path, proven: Sequence[Release], lab: Path, signer: CryptoSigner) -> Path:
    """A release repository whose policy asks for the demo's scenarios, for all machines at once."""
    starter = StarterPolicy(
        public_pem=signing.public_pem(signer),
        machines=[release.machine for release in proven],
        scenarios=SCENARIOS,
        labs=[project.told(lab)],
        dirty=True,  # who works on the harness has a demo, too; the repository is for nothing else
    )
    init_repository(path, starter, bare=True)
    return path
