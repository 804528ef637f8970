"""Scenario 8: the bootloader and user space read the same boot selection (U-Boot only).

U-Boot's own `printenv`, on the console, against `fw_printenv` (libubootenv) on the device: before
an update, while the new version is on trial, and after it was committed. The version in the field
is the new one, with a U-Boot that prints what it has read.
"""

import re

import pytest

from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.judge.provision import BOOT_SECONDS
from harness.judge.verdict import Verdict
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

NAMES = ("mender_boot_part", "mender_boot_part_hex", "upgrade_available", "bootcount")


def by_user_space(bench: Bench) -> dict[str, str]:
    """What `fw_printenv` says now."""
    result = bench.board.run(f"fw_printenv {' '.join(NAMES)}", timeout=60)
    return _pairs(result.stdout)


def by_u_boot(bench: Bench) -> dict[str, str]:
    """What U-Boot has said in the boot that runs now."""
    text = bench.board.console_logs[-1].read_text(errors="replace")
    return _pairs(text.partition("boot selection: slot")[0])


def _pairs(text: str) -> dict[str, str]:
    return dict(re.findall(rf"^({'|'.join(NAMES)})=(\w*)\s*$", text, re.MULTILINE))


def counted(variables: dict[str, str]) -> dict[str, str]:
    """What U-Boot has of them once it has counted its own attempt: in RAM it always does, from what
    is stored while a version is on trial, else from 0 (drivers/bootcount/bootcount_env.c)."""
    stored = int(variables["bootcount"]) if variables["upgrade_available"] == "1" else 0
    return {**variables, "bootcount": str(stored + 1)}


@pytest.mark.bootloaders("u-boot")
@pytest.mark.variants("environment-shown")
def test_environment(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    runs, new = releases.after(scenario)
    old = releases.variant_of(runs, "environment-shown")
    judge = bench.judge(old, new)
    read: dict[str, dict[str, dict[str, str]]] = {}

    def compare(moment: str, stored: dict[str, str]) -> None:
        read[moment] = {"fw_printenv": stored, "printenv": by_u_boot(bench)}
        same = bool(stored) and counted(stored) == read[moment]["printenv"]
        scenario.must(f"same-environment[{moment}]", same, str(read[moment]))

    with scenario:
        bench.boot_fresh(old)
        compare("committed", by_user_space(bench))
        if not bench.install(new).ok:
            raise DeviceError(f"{bench.board.name} refused {new.version}")
        installed = by_user_space(bench)
        judgement = bench.reboot(judge)
        compare("trial", installed)
        bench.client.reboot(timeout=60)
        bench.board.wait_boots(3, BOOT_SECONDS)
        bench.client.await_health(timeout=BOOT_SECONDS)
        compare("updated", by_user_space(bench))
        scenario.fault = Fault(printed="none", parameters={"read": read})
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
