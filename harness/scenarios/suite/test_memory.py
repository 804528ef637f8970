"""Scenario 12: the device runs out of memory while it installs, until its kernel kills somebody.

Whoever that is: the device must be well in the old version or in the new one, with its data and its
identity, once there is memory again, and update. A kernel that killed nobody was not out of memory.
"""

from collections.abc import Callable
from dataclasses import replace

from harness.boards.board import Board
from harness.deadline import Deadline, reached_within
from harness.errors import DeviceError, LabError
from harness.evidence.record import Fault
from harness.faults.memory import SECONDS, STOP, MemoryFault, killed
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.log import step
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario


def install_out_of_memory(
    bench: Bench,
    fault: MemoryFault,
    release: Release,
    *,
    begun: Callable[[], object] = lambda: None,
) -> tuple[bool, dict[str, object]]:
    """Install `release`, and take the memory when it is downloaded; whether it was installed, and
    what happened. `begun` is done when it has begun. LabError when nobody was killed."""
    board, earlier, said = bench.board, len(bench.proxy.requests), len(bench.console_text())
    strikes = len(bench.proxy.strikes)
    bench.client.start_install(bench.offer(release))
    begun()
    if not _is_downloaded(bench, earlier, release.artifact.stat().st_size):
        # Without a network fault that is the device's own doing.
        kind = LabError if len(bench.proxy.strikes) > strikes else DeviceError
        raise kind(f"{board.name}: not downloaded: no memory was taken")
    taking = board.run(fault.command, timeout=60)
    installed = False
    with step("out-of-memory", board=board.name):
        try:
            result = bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
            installed, output = result.ok, result.output[-1000:]
        except DeviceError as error:  # the client itself was killed, or nobody answers meanwhile
            output = f"{error}\n{error.details}"[-1000:]
        _give_back(board)
    victims = killed(bench.console_text()[said:])
    if not victims:
        raise LabError(
            f"{board.name}: {fault}: the kernel killed nobody: it was not out of memory",
            details=f"{taking.stderr}{output}",
        )
    return installed, {"client": output, "killed": victims}


def _is_downloaded(bench: Bench, earlier: int, size: int) -> bool:
    """Wait until it is; False when that does not come."""
    return reached_within(
        DOWNLOAD_AND_INSTALL_SECONDS,
        lambda: any(each.first + each.sent >= size for each in bench.proxy.downloads(earlier)),
        poll=0.1,
    )


def _give_back(board: Board) -> None:
    """End what takes the memory; it does so itself at last, or by a reboot."""
    deadline = Deadline(SECONDS + 60)
    while True:
        try:
            board.run(STOP, timeout=60)
            return
        except DeviceError:
            if deadline.over:
                raise


def out_of_memory(
    bench: Bench, scenario: Scenario, fault: MemoryFault, old: Release, new: Release
) -> None:
    """One update in which that happens, and another one."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        boots = bench.board.boots
        installed, told = install_out_of_memory(bench, fault, new)
        scenario.fault = replace(scenario.fault, parameters=told)
        rebooted = bench.board.boots > boots
        judgement = judge.judge(boots_before=boots) if rebooted else bench.reboot(judge)
        expected = {Verdict.OLD, Verdict.NEW, Verdict.RECOVERED}
        scenario.conclude(judgement, expected=expected, final="new" if installed else "")
        scenario.second_update(judge, judgement)


def test_out_of_memory(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    out_of_memory(bench, scenario, MemoryFault(left=8), *releases.after(scenario))
