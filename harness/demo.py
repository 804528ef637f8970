"""The main job, once, on two QEMU gateways: a good release promoted, a broken one refused.

Everything is real and nothing is kept from an earlier demo but the build cache: the release
repository and the evidence store are made anew below `folder`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import paths, runner
from harness.errors import HarnessError, PromotionError
from harness.evidence import signing
from harness.evidence.store import EvidenceStore, Stored
from harness.images.build import build
from harness.images.release import Release
from harness.log import step
from harness.promotion.promote import Promotion, promote
from harness.promotion.starter import StarterPolicy, init_repository

RECIPE = paths.checkout() / "images/legacy-gateway"
BOARDS = ("gateway-qemu", "gateway-qemu-2")
# What the demo runs, and what the policy of its release repository asks for.
SCENARIOS = (
    "update",
    "bad-update[kernel-panic]",
    "bad-update[no-network]",
    "power-cut[write:50%/none]",
    "power-cut[switch/all]",
    "network[reset@50%]",
    "network[flip@50%]",
)
# What a broken version is caught by: its health check lets a version without network stay.
CATCHES = "bad-update[no-network]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo came to."""

    repository: Path
    good: Stored
    promotion: Promotion
    broken: Stored
    refusal: PromotionError


def demo(lab: Path, folder: Path, show: Callable[[Stored], None]) -> Demo:
    """Build three releases, prove or disprove two of them, promote what may be promoted.

    `show` is called with each run's evidence. Raises DeviceError when the good release fails, and
    HarnessError when the gate lets the broken one through.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = EvidenceStore(folder / "evidence")
    old, good = build(RECIPE, version="1.0.0"), build(RECIPE, version="1.1.0")
    broken = build(RECIPE, version="1.2.0", variants=["health-always-yes"])

    proven = _prove(store, lab, good, old, scenarios=SCENARIOS)
    show(proven)
    runner.require_passed(proven)
    repository = _repository(folder / "releases.git", proven)
    promotion = promote(good.folder, ring="canary", repo=str(repository), store=store)

    disproven = _prove(store, lab, broken, good, scenarios=(CATCHES,))
    show(disproven)
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
            good=proven,
            promotion=promotion,
            broken=disproven,
            refusal=refusal,
        )
    raise HarnessError("the gate let a broken release through: do not trust this harness")


def _prove(
    store: EvidenceStore, lab: Path, release: Release, old: Release, scenarios: tuple[str, ...]
) -> Stored:
    selection = runner.Selection(
        release=release.folder,
        from_release=old.folder,
        boards=BOARDS[: len(scenarios)],
        lab=lab,
        scenarios=scenarios,
    )
    with step("scenarios", release=release.version):
        return runner.run_scenarios(selection, store)


def _repository(path: Path, proven: Stored) -> Path:
    """A release repository whose policy asks for the demo's scenarios."""
    starter = StarterPolicy(
        public_pem=signing.public_pem(signing.load_signer()),
        machines=[proven.evidence.subject.machine],
        scenarios=SCENARIOS,
    )
    init_repository(path, starter, bare=True)
    return path
