"""Scenario 5: the suite must be able to fail. Broken products that it has to catch, by name.

Each is the candidate with one protection taken out, put through the very scenario that passes on
the candidate itself, as the release under test: it is in the field, or is installed, where the
candidate is. Its evidence goes to the gate, which must refuse it.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from harness.faults.power import PowerFault
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.promotion.promote import promote
from harness.promotion.starter import StarterPolicy, init_repository
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite import (
    test_bad_update,
    test_clock,
    test_factory_cut,
    test_medium,
    test_network,
    test_power_cut,
    test_storage,
    test_tls,
    test_trial,
    test_two_installs,
    test_update,
)
from harness.scenarios.suite.test_factory_cut import FactoryCut


@dataclass(frozen=True, kw_only=True)
class NegativeControl:
    """Protections that are taken out, the scenario that must notice (a test of this suite, and
    which case of it), and what it must call that."""

    variants: tuple[str, ...]
    scenario: Callable[..., None]
    case: Mapping[str, object] = field(default_factory=dict)
    expected: Verdict
    both: bool = False  # whether the version in the field must have the variants, too
    bootloaders: tuple[str, ...] = ()  # that the variants are about; none: any
    needs: tuple[Capability | Part, ...] = ()  # what the board must have
    tls: bool = False  # whether the product must name a CA of update servers
    because: str = ""  # a pattern that must be among the reasons, where others are possible
    slow: bool = False  # whether ./run test can afford it on slow boards, too
    ci: bool = True  # whether ./run test can afford it at all

    def go_through(
        self, bench: Bench, releases: Releases, scenario: Scenario, broken: Release
    ) -> None:
        """The scenario, with `broken` as the release under test."""
        old = releases.variant_of(releases.old, *self.variants) if self.both else releases.old
        self.scenario(bench, replace(releases, old=old, new=broken), scenario, **self.case)


CONTROLS = {
    "no-boot-counter": NegativeControl(
        variants=("no-boot-counter",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "kernel-panic", "updated": False},
        expected=Verdict.BRICKED,
    ),
    "counter-late": NegativeControl(
        variants=("counter-late",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "no-kernel", "updated": False},
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "watchdog-unarmed": NegativeControl(
        variants=("watchdog-unarmed",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "hang", "updated": False},
        expected=Verdict.BRICKED,
        needs=(Part.WATCHDOG,),
        ci=False,
    ),
    "count-not-read-back": NegativeControl(
        variants=("count-not-read-back",),
        scenario=test_medium.test_medium_fault,
        case={"fault": "eio-write@medium", "kept": False},
        needs=(Capability.MEDIUM_FAIL, Capability.MEDIUM_READ),
        because="comes-up-good does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "trial-unlimited": NegativeControl(
        variants=("trial-unlimited",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "stuck-boot", "updated": False},
        expected=Verdict.BRICKED,
        ci=False,
    ),
    "emergency-prompt": NegativeControl(
        variants=("emergency-prompt",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "emergency", "updated": False},
        expected=Verdict.BRICKED,
        ci=False,
    ),
    "rolls-back-once": NegativeControl(
        variants=("rolls-back-once",),
        scenario=test_bad_update.test_bad_updates_in_a_row,
        because="final-version does not hold: ended in new",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "rolls-back-to-a": NegativeControl(
        variants=("rolls-back-to-a",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "failing-service", "updated": True},
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "updates-on-trial": NegativeControl(
        variants=("updates-on-trial",),
        scenario=test_trial.test_update_on_trial,
        expected=Verdict.BRICKED,
        bootloaders=("grub",),
        ci=False,
    ),
    "part-files-kept": NegativeControl(
        variants=("part-files-kept",),
        scenario=test_network.test_interrupted_updates,
        because="no room for the download",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "service-dies": NegativeControl(
        variants=("service-dies",),
        scenario=test_update.test_update,
        because="stays-well does not hold: gateway-agent.service does not run any more",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "service-crashes": NegativeControl(
        variants=("service-crashes",),
        scenario=test_update.test_update,
        because="stays-well does not hold: gateway-agent.service (was restarted|does not run)",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "second-boot-fails": NegativeControl(
        variants=("second-boot-fails",),
        scenario=test_update.test_update,
        because="second-boot does not hold: inconsistent new; healthy: degraded: service",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "clock-trusted": NegativeControl(
        variants=("clock-trusted",),
        scenario=test_clock.test_clock,
        case={"at": "1970"},
        because="refused",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        needs=test_clock.NEEDS,
        ci=False,
    ),
    "clock-from-rtc": NegativeControl(
        variants=("clock-from-rtc",),
        scenario=test_clock.test_clock,
        case={"at": "1970"},
        because="clock-has-a-floor does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        needs=test_clock.NEEDS,
        ci=False,
    ),
    "certificates-unchecked": NegativeControl(
        variants=("certificates-unchecked",),
        scenario=test_tls.test_server,
        case={"certificate": Certificate.STRANGER},
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        needs=(Part.CLOCK,),
        tls=True,
        ci=False,
    ),
    "newer-only-said": NegativeControl(
        variants=("newer-only-said",),
        scenario=test_bad_update.test_refused_update,
        case={"kind": "older"},
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "health-always-yes": NegativeControl(
        variants=("health-always-yes",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "no-network", "updated": False},
        # It runs, nobody reaches it, and it has not been left.
        because="(?s)reachable does not hold.*bad-version-ran does not hold",
        expected=Verdict.INCONSISTENT,
    ),
    "commits-first": NegativeControl(
        variants=("commits-first",),
        scenario=test_bad_update.test_bad_update,
        case={"variant": "failing-service", "updated": False},
        because="final-version does not hold: ended in new",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client": NegativeControl(
        variants=("careless-client",),
        scenario=test_network.test_network,
        case={"fault": "flip@50%"},
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client-misdirected": NegativeControl(
        variants=("careless-client",),
        scenario=test_bad_update.test_refused_update,
        case={"kind": "misdirected"},
        because="refused does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "careless-client-uncounted": NegativeControl(
        variants=("careless-client", "no-boot-counter"),
        scenario=test_power_cut.test_power_cut,
        case={"fault": PowerFault.parse("write:50%/all")},
        needs=test_power_cut.NEEDS,
        expected=Verdict.BRICKED,
        ci=False,
    ),
    "resume-any": NegativeControl(
        variants=("resume-any",),
        scenario=test_power_cut.test_power_cut,
        case={"fault": PowerFault.parse("write:50%/all")},
        needs=test_power_cut.NEEDS,
        because="second-update does not hold: recovered old",  # a mixture was installed, and left
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "host-key-each-boot": NegativeControl(
        variants=("host-key-each-boot",),
        scenario=test_update.test_update,
        because="identity does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "data-unrepaired": NegativeControl(
        variants=("data-unrepaired",),
        scenario=test_storage.test_data_fault,
        case={"fault": "torn:superblock", "kept": True},
        needs=test_storage.NEEDS,
        because="identity does not hold|data partition is not mounted",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "host-key-unsynced": NegativeControl(
        variants=("host-key-unsynced",),
        scenario=test_factory_cut.test_factory_cut,
        case={"cut": FactoryCut.parse("data:64K/none")},
        needs=test_power_cut.NEEDS,
        because="reachable does not hold",
        expected=Verdict.INCONSISTENT,
        bootloaders=("grub",),
        ci=False,
    ),
    "installs-at-once": NegativeControl(
        variants=("installs-at-once",),
        scenario=test_two_installs.test_two_installs,
        because="first-installed does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "copies-once": NegativeControl(
        variants=("copies-once",),
        scenario=test_storage.test_lost_copies,
        needs=test_storage.NEEDS,
        because="copies-there-again does not hold",
        expected=Verdict.INCONSISTENT,
        ci=False,
    ),
    "environment-not-redundant": NegativeControl(
        variants=("environment-not-redundant",),
        scenario=test_power_cut.test_power_cut,
        case={"fault": PowerFault.parse("bootloader/none")},
        needs=test_power_cut.NEEDS,
        because=r"not cut in phase bootloader\s+medium: slot B: new, \['torn', 'A>B A=good",
        expected=Verdict.INCONSISTENT,
        bootloaders=("u-boot",),
        slow=True,
    ),
    "environment-not-redundant-zeroed": NegativeControl(
        variants=("environment-not-redundant",),
        both=True,
        scenario=test_storage.test_torn_selection,
        case={"fault": "zero-tail:32768", "kept": True},
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
    with scenario.of_control(broken, asked.expected), contextlib.suppress(DeviceError):
        asked.go_through(bench, releases, scenario, broken)  # the record says what it was
    record = scenario.record
    assert record is not None, "the control left no record"
    if record.verdict:
        assert record.verdict is asked.expected, scenario.summary()
        assert re.search(asked.because, scenario.summary()), scenario.summary()
    scenario.keep_control(broken, record, asked.expected)
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
    with scenario.of_control(correct, Verdict.NEW):
        test_update.update(bench, scenario, releases.old, correct)
    assert scenario.record, "the control left no record"
    if not scenario.record.verdict:
        scenario.keep_control(correct, scenario.record, Verdict.NEW)
        return
    assert scenario.record.passed, scenario.summary()
    again = scenario.afresh()
    old = releases.old
    test_bad_update.refused_update(bench, again, old.artifact, correct, old)
    assert again.record and again.record.passed, again.summary()
    scenario.keep_control(correct, scenario.record, Verdict.NEW)
