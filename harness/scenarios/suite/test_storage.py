"""Scenario 6: the medium itself loses something while the board is off.

Not a power cut: what was written and flushed is gone. Of a part of the boot selection: the board
must boot what the other copy selects (a version that was committed in any case), and make the
copies two again. Of a block of the data partition: it must come back with its identity and its
settings, and update.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.boards.capability import Capability
from harness.crash.disk import ext4
from harness.crash.states.contents import SECTOR
from harness.deadline import Deadline
from harness.evidence.record import Fault
from harness.faults.storage import DataFault, StorageFault, Where
from harness.judge import provision
from harness.judge.judge import Judge
from harness.judge.verdict import Judgement, Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.test_medium import comes_up

pytestmark = pytest.mark.own_programs

NEEDS = (Capability.MEDIUM_READ, Capability.MEDIUM_WRITE)


def newest_copy(judge: Judge) -> tuple[int, int]:
    """Where on the medium the copy of the boot selection is that counts."""
    copies = judge.medium.copies()
    number = copies.index(judge.medium.format.counting(copies)) + 1
    return judge.old.layout[f"boot-selection-{number}"]


def torn_selection(
    bench: Bench, scenario: Scenario, torn: StorageFault, old: Release, new: Release, *, kept: bool
) -> None:
    """New is installed, and, with `kept`, booted and committed; then the fault strikes the copy
    of the boot selection that counts."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(torn))
        bench.running(old)
        if kept:
            bench.must(bench.update(new, judge).final == "new", "did not keep the new version")
        filled = bench.board.run(judge.medium.format.FILL, timeout=60)
        bench.must(filled.returncode == 0, filled.stderr)
        if not kept:
            bench.must(bench.install(new).ok, f"refused {new.version}")
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        before = judge.medium.selection()
        offset, length = torn.within(*newest_copy(judge))
        bench.board.can.medium_write.overwrite(offset, bytes(length))
        copies, chosen = judge.medium.copies(), judge.medium.selection()
        there = {"before": str(before), "copies": [str(copy or "torn") for copy in copies]}
        scenario.fault = replace(scenario.fault, parameters=there)
        scenario.must("copy-torn", copies.count(None) == 1, f"copies: {there['copies']}")
        selected = "" if chosen is None else judge.medium.content(chosen.primary)
        final = "new" if kept else selected or "old"
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict(final)}, final=final)
        scenario.second_update(judge, judgement)


@pytest.mark.needs(*NEEDS)
@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        pytest.param("zero-tail:32768", False, id="zero-tail:32768"),
        pytest.param("zero-tail:32768", True, id="committed/zero-tail:32768"),
    ],
)
def test_torn_selection(
    bench: Bench, releases: Releases, scenario: Scenario, fault: str, kept: bool
) -> None:
    torn = StorageFault.parse(fault)
    # A flashed bootloader reads what is left; a committed version makes two copies of it again.
    pair = (releases.old, releases.new) if kept else releases.after(scenario)
    torn_selection(bench, scenario, torn, *pair, kept=kept)


# Only the site has these: the first block of the inode table names its folders.
_SITES_OWN = ("data-unchanged", "what names the site's files is destroyed")


def judge_damaged(
    bench: Bench, judge: Judge, faults: Sequence[DataFault], boots_before: int
) -> Judgement:
    """Judge a board whose data partition was damaged so while it was off. Where nobody has its
    site's files any more they are written again."""
    judgement = judge.judge(boots_before=boots_before)
    if any(each.where is Where.INODE_TABLE for each in faults):
        judgement = judgement.without(*_SITES_OWN)
        provision.write_sentinel(bench.board, bench.client)
    return judgement


def data_fault(
    bench: Bench, scenario: Scenario, fault: DataFault, old: Release, new: Release, *, kept: bool
) -> None:
    """New is installed, and, with `kept`, booted and committed; then the fault strikes the data
    partition."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        identity = bench.client.status(timeout=60).device_id
        bench.bring(new, judge, kept=kept)
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        fault.strike(bench.board.can, ext4.find(old.disk_image, old.layout["data"]))
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge_damaged(bench, judge, [fault], boots)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        now = bench.client.status(timeout=60)
        scenario.must("device-id-kept", bool(identity) and now.device_id == identity, str(now))
        scenario.must("settings-kept", now.update_server == bench.server_url, str(now))
        scenario.second_update(judge, judgement)


# QEMU's SD card does not tell its guest of a read that fails, and gives it what it read before.
_TELLS = pytest.mark.bootloaders("grub")


@pytest.mark.needs(*NEEDS)
@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        pytest.param("torn:superblock", True, id="torn:superblock", marks=pytest.mark.ci),
        pytest.param("torn:superblock", False, id="trial/torn:superblock"),
        *(
            pytest.param(f"destroyed:{where}", True, id=f"destroyed:{where}")
            for where in ("superblock", "group-descriptors", "inode-table", "journal")
        ),
        *(
            pytest.param(f"unreadable:{where}", True, id=f"unreadable:{where}", marks=_TELLS)
            for where in Where
        ),
    ],
)
def test_data_fault(
    bench: Bench, releases: Releases, scenario: Scenario, fault: str, kept: bool
) -> None:
    struck = DataFault.parse(fault)
    data_fault(bench, scenario, struck, releases.old, releases.new, kept=kept)


# As much as fits, then what is left of it in small pieces; the number of bytes that are still free.
_FILL = (
    "for piece in 1M 4k 1; do dd if=/dev/zero of={file} bs=$piece oflag=append conv=notrunc; done; "
    "sync; df --output=avail -B1 {file} | tail -n 1"
)
_LITTLE = 64 << 10  # bytes: less than any update


def full_data(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """The site's own data fill the data partition. The device may take the update or refuse it. It
    must come up, and, once there is room again, be well and take it."""
    judge, board = bench.judge(old, new), bench.board
    file = f"{bench.client.data_folder}.fill"
    with scenario:
        scenario.fault = Fault(printed="full data partition")
        bench.running(old)
        said = board.run(_FILL.format(file=file), timeout=300).stdout
        bench.must(said.strip().isdecimal() and int(said) < _LITTLE, f"not full: {said}")
        result = bench.install(new)
        told = {"installed": result.ok, "client": result.output[-500:]}
        boots = board.boots
        bench.client.reboot(timeout=60)
        board.wait_boots(boots + 1, timeout=judge.limits.boot_seconds)
        line = comes_up(bench, judge, boots)
        scenario.fault = replace(scenario.fault, parameters={**told, "came up": line})
        scenario.must("comes-up", bool(line), "not at all")
        board.run(f"rm {file} && sync", timeout=60)
        judgement = bench.reboot(judge)
        # What was installed may have been left for want of room.
        expected = {Verdict.OLD, *([Verdict.NEW] if result.ok else [])}
        scenario.conclude(judgement, expected=expected)
        scenario.second_update(judge, judgement)


def test_full_data(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    full_data(bench, scenario, *releases.after(scenario))


_MAGIC = b"gateway-keep"  # a copy of what must survive the data partition begins so
_KEPT = "systemctl show --value --property ExecMainExitTimestamp gateway-keep.service"


def lost_copies(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """Both copies of identity and settings are lost, and the data partition is not: nobody notices.
    One boot later they must be there again, for the day when it is."""
    judge, board = bench.judge(old, new), bench.board
    places = [old.layout[name].offset for name in ("keep-1", "keep-2")]
    fault = DataFault.parse("destroyed:inode-table")
    with scenario:
        scenario.fault = Fault(printed=f"lost-copies, {fault}")
        bench.running(old)
        identity = bench.client.status(timeout=60).device_id
        board.run("sync", timeout=60)
        board.power_off()
        kept = [board.can.medium_read.read(place, len(_MAGIC)) == _MAGIC for place in places]
        scenario.must("copies-there", all(kept), str(kept))
        for place in places:
            board.can.medium_write.overwrite(place, bytes(SECTOR))
        boots = board.boots
        board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.must("copies-not-missed", judgement.verdict is Verdict.OLD, str(judgement))
        deadline = Deadline(provision.BOOT_SECONDS)
        while not board.run(_KEPT, timeout=60).stdout.strip() and not deadline.over:
            pass
        board.power_off()
        kept = [board.can.medium_read.read(place, len(_MAGIC)) == _MAGIC for place in places]
        scenario.must("copies-there-again", all(kept), str(kept))
        fault.strike(board.can, ext4.find(old.disk_image, old.layout["data"]))
        boots = board.boots
        board.power_on()
        judgement = judge_damaged(bench, judge, [fault], boots)
        scenario.conclude(judgement, expected={Verdict.OLD}, final="old")
        now = bench.client.status(timeout=60)
        scenario.must("device-id-kept", bool(identity) and now.device_id == identity, str(now))
        scenario.must("settings-kept", now.update_server == bench.server_url, str(now))
        scenario.second_update(judge, judgement)


@pytest.mark.needs(*NEEDS)
def test_lost_copies(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    lost_copies(bench, scenario, *releases.after(scenario))
