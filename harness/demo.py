"""The main job, once, on two generations of QEMU boards: good releases promoted together, a broken
one refused.

Everything is real and nothing is kept from an earlier demo but the build cache: the release
repository and the evidence store are made anew below `folder`.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import matrix, paths
from harness.children import Tell
from harness.errors import HarnessError, PromotionError
from harness.evidence import signing
from harness.evidence.store import EvidenceStore, Stored
from harness.images.build import build
from harness.images.release import Release
from harness.log import step
from harness.promotion.promote import Promotion, promote
from harness.promotion.starter import StarterPolicy, init_repository
from harness.runner import Selection

# What both generations run, and what the policy of the demo's release repository asks for.
SCENARIOS = (
    "update",
    "power-cut[switch/all]",
)
# What only the faster board has the time for.
MORE = (
    "bad-update[kernel-panic]",
    "bad-update[no-network]",
    "network[reset@50%]",
    "network[flip@50%]",
)
# What a broken version is caught by: its health check lets a version without network stay.
CATCHES = "bad-update[no-network]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A machine of the demo: recipe, board, and what it runs there."""

    recipe: Path
    board: str
    scenarios: tuple[str, ...]


GENERATIONS = (
    Generation(
        recipe=paths.checkout() / "images/legacy-gateway",
        board="gateway-qemu",
        scenarios=(*SCENARIOS, *MORE),
    ),
    Generation(recipe=paths.checkout() / "images/rpi4", board="rpi4-qemu", scenarios=SCENARIOS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo came to."""

    repository: Path
    good: tuple[Stored, ...]  # one a machine
    promotion: Promotion
    broken: Stored
    refusal: PromotionError


def demo(lab: Path, folder: Path, *, show: Callable[[Sequence[Stored]], None], tell: Tell) -> Demo:
    """Build five releases, prove or disprove three of them, promote what may be promoted.

    `show` is called with the evidence of each matrix, `tell` with each line that a machine prints.
    Raises DeviceError when a good release fails, and HarnessError when the gate lets the broken
    one through.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = EvidenceStore(folder / "evidence")
    old = [build(each.recipe, version="1.0.0") for each in GENERATIONS]
    good = [build(each.recipe, version="1.1.0") for each in GENERATIONS]
    first = GENERATIONS[0]
    broken = build(first.recipe, version="1.2.0", variants=["health-always-yes"])

    chosen = {
        new.machine: _selection(lab, new, before, each.board, each.scenarios)
        for each, before, new in zip(GENERATIONS, old, good, strict=True)
    }
    proven = _prove(chosen, store, show, tell)
    repository = _repository(folder / "releases.git", good)
    folders = [release.folder for release in good]
    promotion = promote(*folders, ring="canary", repo=str(repository), store=store)

    catching = _selection(lab, broken, good[0], first.board, (CATCHES,))
    (disproven,) = _prove({broken.machine: catching}, store, show, tell, passes=False)
    try:
        promote(broken.folder, ring="canary", repo=str(repository), store=store)
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
            broken=disproven,
            refusal=refusal,
        )
    raise HarnessError("the gate let a broken release through: do not trust this harness")


def _selection(
    lab: Path, new: Release, old: Release, board: str, scenarios: tuple[str, ...]
) -> Selection:
    return Selection(
        release=new.folder,
        from_release=old.folder,
        boards=(board,),
        lab=lab.resolve(),
        scenarios=scenarios,
    )


def _prove(
    chosen: dict[str, Selection],
    store: EvidenceStore,
    show: Callable[[Sequence[Stored]], None],
    tell: Tell,
    *,
    passes: bool = True,
) -> list[Stored]:
    """Run a matrix; with `passes`, raise what kept any of it from passing."""
    with step("scenarios", machines=sorted(chosen)):
        runs = matrix.run_matrix(chosen, store.folder, tell=tell)
    stored = [run.stored for run in runs if run.stored]
    show(stored)
    if passes:
        matrix.require_passed(runs)
    for run in runs:
        if run.error:
            raise run.error
    return stored


def _repository(path: Path, proven: Sequence[Release]) -> Path:
    """A release repository whose policy asks for the demo's scenarios, for all machines at once."""
    starter = StarterPolicy(
        public_pem=signing.public_pem(signing.load_signer()),
        machines=[release.machine for release in proven],
        scenarios=SCENARIOS,
    )
    init_repository(path, starter, bare=True)
    return path
