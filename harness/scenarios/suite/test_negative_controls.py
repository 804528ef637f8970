"""Scenario 5: the suite must be able to fail. Broken products that it has to catch, by name.

Each is the candidate with one protection taken out, put through the very scenario that passes on
the candidate itself; its evidence goes to the gate, which must refuse it.
"""

import contextlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from harness.boards.capability import Capability
from harness.boards.lab_file import Part
from harness.errors import DeviceError, PromotionError
from harness.evidence import signing
from harness.evidence.store import EvidenceStore
from harness.evidence.subject import read_subject
from harness.faults.certificates import Certificate
from harness.faults.power import CutPhase, PowerFault
from harness.faults.storage import DataFault, StorageFault
from harness.judge.verdict import Verdict
from harness.medium.model import Loss
from harness.product.release import Release
from harness.promotion.promote import promote
from harness.promotion.starter import StarterPolicy, init_repository
from harness.scenarios import products
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite import test_clock, test_power_cut, test_storage
from harness.scenarios.suite.test_bad_update import (
    bad_update,
    bad_updates_in_a_row,
    offered,
    refused_update,
)
from harness.scenarios.suite.test_clock import clock
from harness.scenarios.suite.test_network import interrupted_updates, network
from harness.scenarios.suite.test_power_cut import power_cut
from harness.scenarios.suite.test_storage import data_fault, lost_copies, torn_selection
from harness.scenarios.suite.test_tls import over_tls
from harness.scenarios.suite.test_trial import update_on_trial
from harness.scenarios.suite.test_update import update

Flow = Callable[[Bench, Releases, Scenario, Release], None]


@dataclass(frozen=True, kw_only=True)
class NegativeControl:
    """Protections that are taken out, the scenario that must notice, and what it must call that."""

    variants: tuple[str, ...]
    flow: Flow
    expected: Verdict
    bootloaders: tuple[str, ...] = ()  # that the variants are about; none: any
    needs: tuple[Capability | Part, ...] = ()  # what the board must have
    tls: bool = False  # whether the product must name a CA of update servers
    because: str = ""  # a pattern that must be among the reasons, where others are possible
    slow: bool = False  # whether ./run test can afford it on slow boards, too
    ci: bool = True  # whether ./run test can afford it at all


def _next(releases: Releases, broken: Release) -> Release:
    """What a device with the broken version must take, whatever its product promises."""
    return products.onward(broken, releases.old)


def _panics(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "kernel-panic")


def _without_kernel(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "no-kernel")


def _hangs(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "hang")


def _two_bad(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_updates_in_a_row(bench, releases, scenario, broken)


def _in_1970(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    clock(bench, scenario, datetime(1970, 1, 2, tzinfo=UTC), broken, _next(releases, broken))


def _strange_server(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    over_tls(bench, scenario, Certificate.STRANGER, broken, _next(releases, broken))


def _interrupted(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    interrupted_updates(bench, scenario, broken, _next(releases, broken))


def _older(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    refused_update(bench, scenario, releases.old.artifact, broken, releases.old)


def _on_trial(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    update_on_trial(bench, releases, scenario, releases.old, broken)


def _updated(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    update(bench, scenario, releases.old, broken)


def _fails_in_a(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "failing-service", updated=True)


def _for_others(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    good = _next(releases, broken)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        artifact = offered("misdirected", good, Path(folder))
        refused_update(bench, scenario, artifact, broken, good)


def _watched(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    """A reboot, and then it is watched for a while."""
    judge = bench.judge(broken, _next(releases, broken))
    with scenario:
        bench.running(broken)
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD}, final="old")
        scenario.dwell(judge, judgement)


def _without_network(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "no-network")


def _fails(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    bad_update(bench, releases, scenario, broken, "failing-service")


def _falsified(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    network(bench, scenario, "flip@50%", broken, _next(releases, broken))


def _cut_while_writing(
    bench: Bench, releases: Releases, scenario: Scenario, broken: Release
) -> None:
    fault = PowerFault(phase=CutPhase.WRITE_50, loss=Loss.parse("all"))
    good = _next(releases, broken)
    power_cut(bench, scenario, fault, broken, good, good=good)


def _zeroed(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    """The only copy of the environment loses its tail: U-Boot goes back to its built-in one."""
    torn, good = StorageFault.parse("zero-tail:32768"), _next(releases, broken)
    if good.variants != broken.variants:
        good = releases.variant_of(good, *broken.variants)
    torn_selection(bench, scenario, torn, broken, good, kept=True)


def _torn_superblock(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    fault = DataFault.parse("torn:superblock")
    data_fault(bench, scenario, fault, releases.old, broken, kept=True)


def _lost_copies(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    lost_copies(bench, scenario, broken, _next(releases, broken))


def _cut_in_bootloader(
    bench: Bench, releases: Releases, scenario: Scenario, broken: Release
) -> None:
    """The only copy is torn: nothing is left of the selection as it was before."""
    fault = PowerFault(phase=CutPhase.BOOTLOADER, loss=Loss.parse("none"))
    good = _next(releases, broken)
    power_cut(bench, scenario, fault, broken, good, good=good)


def _rebooted(bench: Bench, releases: Releases, scenario: Scenario, broken: Release) -> None:
    """A reboot, and nothing else."""
    judge = bench.judge(broken, _next(releases, broken))
    with scenario:
        bench.running(broken)
        scenario.conclude(bench.reboot(judge), expected={Verdict.OLD}, final="old")


CONTROLS = {
    "no-boot-counter": NegativeControl(
        variants=("no-boot-counter",), flow=_panics, expected=Verdict.BRICKED
    ),
    "counter-late": NegativeControl(
        variants=("counter-late",),
        flow=_without_kernel,
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "watchdog-unarmed": NegativeControl(
        variants=("watchdog-unarmed",),
        flow=_hangs,
        expected=Verdict.BRICKED,
        needs=(Part.WATCHDOG,),
        ci=False,
    ),
    "rolls-back-once": NegativeControl(
        variants=("rolls-back-once",),
        flow=_two_bad,
        because="final-version does not hold: ended in new",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "rolls-back-to-a": NegativeControl(
        variants=("rolls-back-to-a",),
        flow=_fails_in_a,
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "updates-on-trial": NegativeControl(
        variants=("updates-on-trial",),
        flow=_on_trial,
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "part-files-kept": NegativeControl(
        variants=("part-files-kept",),
        flow=_interrupted,
        because="no room for the download",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "service-dies": NegativeControl(
        variants=("service-dies",),
        flow=_watched,
        because="stays-well does not hold: gateway-agent.service does not run any more",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "service-crashes": NegativeControl(
        variants=("service-crashes",),
        flow=_watched,
        because="stays-well does not hold: gateway-agent.service (was restarted|does not run)",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "second-boot-fails": NegativeControl(
        variants=("second-boot-fails",),
        flow=_updated,
        because="second-boot does not hold: inconsistent new; healthy: degraded: service",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "clock-trusted": NegativeControl(
        variants=("clock-trusted",),
        flow=_in_1970,
        because="refused",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        needs=test_clock.NEEDS,
        ci=False,
    ),
    "clock-from-rtc": NegativeControl(
        variants=("clock-from-rtc",),
        flow=_in_1970,
        because="clock-has-a-floor does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        needs=test_clock.NEEDS,
        ci=False,
    ),
    "certificates-unchecked": NegativeControl(
        variants=("certificates-unchecked",),
        flow=_strange_server,
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        needs=(Part.CLOCK,),
        tls=True,
        ci=False,
    ),
    "newer-only-said": NegativeControl(
        variants=("newer-only-said",),
        flow=_older,
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "health-always-yes": NegativeControl(
        variants=("health-always-yes",), flow=_without_network, expected=Verdict.INCONSISTENT
    ),
    "commits-first": NegativeControl(
        variants=("commits-first",),
        flow=_fails,
        because="final-version does not hold: ended in new",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client": NegativeControl(
        variants=("careless-client",),
        flow=_falsified,
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client-misdirected": NegativeControl(
        variants=("careless-client",),
        flow=_for_others,
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client-uncounted": NegativeControl(
        variants=("careless-client", "no-boot-counter"),
        flow=_cut_while_writing,
        needs=test_power_cut.NEEDS,
        expected=Verdict.BRICKED,
        ci=False,
    ),
    "host-key-each-boot": NegativeControl(
        variants=("host-key-each-boot",),
        flow=_rebooted,
        because="identity does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "data-unrepaired": NegativeControl(
        variants=("data-unrepaired",),
        flow=_torn_superblock,
        needs=test_storage.NEEDS,
        because="identity does not hold|data partition is not mounted",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "copies-once": NegativeControl(
        variants=("copies-once",),
        flow=_lost_copies,
        needs=test_storage.NEEDS,
        because="copies-there-again does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "environment-not-redundant": NegativeControl(
        variants=("environment-not-redundant",),
        flow=_cut_in_bootloader,
        needs=test_power_cut.NEEDS,
        because=r"not cut in phase bootloader\s+medium: slot B: new, \['torn', 'A>B A=good",
        expected=Verdict.INCONSISTENT,
        bootloaders=("u-boot",),
        slow=True,
    ),
    "environment-not-redundant-zeroed": NegativeControl(
        variants=("environment-not-redundant",),
        flow=_zeroed,
        needs=test_storage.NEEDS,
        because="final-version does not hold: ended in old",
        expected=Verdict.INCONSISTENT,
        bootloaders=("u-boot",),
    ),
}


def _cases() -> list[ParameterSet]:
    return [
        pytest.param(
            name,
            marks=[
                *([pytest.mark.ci(slow=control.slow)] if control.ci else []),
                pytest.mark.bootloaders(*control.bootloaders),
                pytest.mark.needs(*control.needs),
                pytest.mark.variants(*control.variants),
                *([pytest.mark.tls] if control.tls else []),
            ],
        )
        for name, control in CONTROLS.items()
    ]


@pytest.mark.parametrize("control", _cases())
def test_negative_control(
    bench: Bench, releases: Releases, scenario: Scenario, control: str, tmp_path: Path
) -> None:
    asked = CONTROLS[control]
    broken = releases.variant_of(releases.new, *asked.variants)
    scenario.control = True
    with contextlib.suppress(DeviceError):  # the record says what it was
        asked.flow(bench, releases, scenario, broken)
    record = scenario.record
    assert record is not None, "the control left no record"
    if record.verdict:
        assert record.verdict is asked.expected, scenario.summary()
        assert re.search(asked.because, scenario.summary()), scenario.summary()
    scenario.keep_control(broken, record, expected=asked.expected)
    if not record.verdict:
        return

    store = EvidenceStore(tmp_path / "evidence")
    subject = read_subject(broken.folder)
    run = store.begin(subject, from_release=None, board="", lab="", tools={})
    run.add(record)
    run.finish(signing.load_signer())
    starter = StarterPolicy(
        public_pem=signing.public_pem(signing.load_signer()),
        machines=[broken.machine],
        scenarios=[record.scenario],
    )
    init_repository(tmp_path / "releases", starter, bare=True)
    with pytest.raises(PromotionError) as refusal:
        promote(broken.folder, ring="canary", repo=str(tmp_path / "releases"), store=store)
    assert f"failed: {record.scenario}" in refusal.value.details


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(
            "newer-only",
            marks=[pytest.mark.bootloaders("grub"), pytest.mark.variants("newer-only")],
        ),
        pytest.param("rotated", marks=pytest.mark.variants("rotated")),
    ],
)
def test_correct_product(
    bench: Bench, releases: Releases, scenario: Scenario, variant: str
) -> None:
    """The other way round: a product that is right in another way than ours must pass."""
    correct = releases.variant_of(releases.new, variant)
    scenario.control = True
    update(bench, scenario, releases.old, correct)
    assert scenario.record and scenario.record.passed, scenario.summary()
    again = scenario.afresh()
    refused_update(bench, again, releases.old.artifact, correct, releases.old)
    assert again.record and again.record.passed, again.summary()
    scenario.keep_control(correct, scenario.record, expected=Verdict.NEW)
