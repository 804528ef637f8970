"""Any faults around one update, as they are asked for: `harness test --fault ... --fault ...`.

Network faults strike the download one after the other, the server answers in another manner, the
medium fails from before the install until it has ended, the memory is taken once all is downloaded;
one power cut ends the install or comes in the boot after it. Afterwards all is well again, and the
board must be so, too: in the old version or in the new one, and it must update.
"""

from harness.evidence.record import Fault
from harness.faults.power import CutPhase
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.asked import AskedFaults
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.test_memory import install_out_of_memory
from harness.scenarios.suite.test_network import require_struck
from harness.scenarios.suite.test_power_cut import between, reach


def _begin(bench: Bench, faults: AskedFaults, old: Release) -> None:
    """All that is there before the download."""
    if faults.medium:
        failings = [each.failing(old.layout) for each in faults.medium]
        bench.board.can.medium_fail.fail(failings)
    bench.server.behave(faults.server, since=lambda: bench.proxy.done >= faults.before_server)
    if faults.network:
        bench.proxy.arm(*faults.network)


def under_faults(
    bench: Bench, scenario: Scenario, faults: AskedFaults, old: Release, new: Release
) -> None:
    """One update with all of them."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=faults.printed)
        bench.running(old)
        first, struck, refused = len(bench.proxy.requests), 0, ""
        _begin(bench, faults, old)
        told: dict[str, object] = {}
        boots = bench.board.boots
        try:
            if faults.memory:
                _, told = install_out_of_memory(bench, faults.memory, new)
            elif faults.power is None or not faults.power.phase.during_install:
                result = bench.client.install(
                    bench.offer(new), timeout=DOWNLOAD_AND_INSTALL_SECONDS
                )
                told = {"client": result.output[-1000:]}
                refused = "" if result.ok else result.output[-500:]
            if faults.power:
                reach(bench, judge, faults.power.phase, new, number=faults.power.number)
                boots = bench.board.boots
                bench.board.can.choose_loss.cut(faults.power.loss)
        finally:
            strange = bench.server.strange_answers
            bench.server.behave(None)
            bench.proxy.disarm()
            bench.proxy.wait_link_up(faults.longest_without_link + 60)
        if faults.medium:
            struck = bench.board.can.medium_fail.fail([])
            told["medium"] = f"{struck} times"
            scenario.injected(struck > 0, "the board never asked for what fails")
        if faults.server:
            told["server"] = f"{strange} answers"
            scenario.injected(strange > 0, f"the device met nothing of {faults.server}")
        told["strikes"] = bench.proxy.met if faults.network else []
        scenario.fault = Fault(printed=faults.printed, parameters=told)
        if faults.network:
            require_struck(bench, scenario, bench.proxy.downloads(first), new)
        unprovoked = refused and not (struck or strange or told["strikes"])
        scenario.must("installed", not unprovoked, f"before any fault: {refused}")
        if faults.power:
            bench.board.power_on()
        if faults.power or bench.board.boots > boots:  # out of memory, it may have reset itself
            judgement = judge.judge(boots_before=boots)
        else:
            judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD, Verdict.NEW, Verdict.RECOVERED})
        scenario.second_update(judge, judgement)


def test_faults(bench: Bench, releases: Releases, scenario: Scenario, asked: str) -> None:
    power = AskedFaults.parse(asked, releases.new).power
    phase = power.phase if power else CutPhase.ACKNOWLEDGED  # all else strikes the install
    old, new = between(releases, scenario, phase)
    under_faults(bench, scenario, AskedFaults.parse(asked, new), old, new)
