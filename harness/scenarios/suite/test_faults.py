"""Any faults around one update, as they are asked for: `harness test --fault ... --fault ...`, and
a medium that begins to fail at a phase of an update."""

import pytest

from harness.boards.capability import Capability
from harness.faults.power import CutPhase
from harness.faults.storage import MediumFault
from harness.product.release import Release
from harness.scenarios.asked import AskedFaults
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.around import under_faults
from harness.scenarios.suite.test_power_cut import between


def versions(
    releases: Releases, scenario: Scenario, faults: AskedFaults
) -> tuple[Release, Release]:
    """From what to what such an update leads: as a power cut's phase, or a medium's; what is wrong
    in the trial only is held against new's trial, all else strikes the install."""
    if faults.power:
        phase = faults.power.phase
    elif faults.since and faults.since.since:
        phase = faults.since.since
    else:
        phase = CutPhase.FIRST_BOOT if faults.trial or faults.before_trial else CutPhase.WRITE_50
    return between(releases, scenario, phase)


def test_faults(bench: Bench, releases: Releases, scenario: Scenario, asked: str) -> None:
    old, new = versions(releases, scenario, AskedFaults.parse(asked, releases.new))
    under_faults(bench, scenario, AskedFaults.parse(asked, new), old, new)


# Of what the guest is told depends on the board: QEMU's SD card tells of no failure.
_TELLS = pytest.mark.bootloaders("grub")


@pytest.mark.own_programs
@pytest.mark.needs(Capability.MEDIUM_FAIL, Capability.MEDIUM_READ)
@pytest.mark.parametrize(
    "fault",
    [
        *("forget-write@medium/write:50%", "forget-write@medium/first-boot"),
        pytest.param("eio-write@medium/write:50%", marks=_TELLS),
        pytest.param("eio-write@medium/first-boot", marks=_TELLS),
        pytest.param("eio-write@medium/commit", marks=_TELLS),
    ],
)
def test_medium_fault(bench: Bench, releases: Releases, scenario: Scenario, fault: str) -> None:
    faults = AskedFaults(printed=fault, medium=(MediumFault.parse(fault),))
    under_faults(bench, scenario, faults, *versions(releases, scenario, faults))
