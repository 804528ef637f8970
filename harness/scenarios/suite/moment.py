"""The instant of a power cut: the board is brought to a phase of an update, and its power taken."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.deadline import Deadline
from harness.errors import DeviceError
from harness.faults.power import Changes, CutPhase, trigger
from harness.judge.judge import Judge
from harness.judge.provision import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS
from harness.medium.model import Trigger
from harness.product.release import Release
from harness.scenarios.bench import Bench

_WRITEBACK_SECONDS = 60.0  # in which Linux writes what nobody synced: 30 s, and 5 s a round


class Missed(DeviceError):
    """The install has ended, and what the cut waits for was not among its writes: it was refused
    before, or its client writes only what differs. The board is on, and nothing is armed."""

    def __init__(self, phase: CutPhase, result: InstallResult) -> None:
        said = f"the install ended ({result.message}) before the power could be cut in {phase}"
        super().__init__(said, details=result.output[-2000:])
        self.result = result


def reach(
    bench: Bench,
    judge: Judge,
    phase: CutPhase,
    new: Release,
    *,
    number: int = 0,
    begun: Callable[[], object] = lambda: None,
) -> Slot:
    """Take the power in a phase of the update to `new` (which is installed, where the phase lies
    after that); nothing is lost yet. `begun` is done when the install, or that boot, has begun.
    Returns the slot that is updated. Raises Missed."""
    board, client = bench.board, bench.client
    target = client.status(timeout=60).other_slot
    if phase.is_word:
        _reach_word(bench, judge, phase, new, begun)
        return target
    strikes = trigger_of(bench, judge, phase, new, target, number=number)
    board.can.cut_at_write.arm(strikes)
    if phase.during_install:
        client.start_install(bench.offer(new))
        begun()
        _wait_in_install(bench, phase)
    else:
        client.reboot(timeout=60)
        begun()
        board.can.cut_at_write.wait_cut(BOOT_SECONDS + judge.soak)
    return target


def _wait_in_install(bench: Bench, phase: CutPhase) -> None:
    """Until it strikes; Missed when the install ends, and its writeback, without it."""
    cut = bench.board.can.cut_at_write
    limit = Deadline(DOWNLOAD_AND_INSTALL_SECONDS)
    with ThreadPoolExecutor(1) as beside:
        end = beside.submit(bench.client.wait_install, limit.left())
        if cut.wait_cut(limit.left(), unless=end.done):
            return
    if end.exception():  # the device cannot be asked: that ends no install
        cut.wait_cut(limit.left())
        return
    written = Deadline(_WRITEBACK_SECONDS)
    if cut.wait_cut(2 * _WRITEBACK_SECONDS, unless=lambda: written.over):
        return
    cut.disarm()
    if not cut.wait_cut(_WRITEBACK_SECONDS, unless=lambda: True):
        raise Missed(phase, end.result())


def trigger_of(
    bench: Bench, judge: Judge, phase: CutPhase, new: Release, target: Slot, *, number: int = 0
) -> Trigger:
    """What strikes in that phase of the update of slot `target` to `new`, where the device boots
    next for the first time after it."""
    changes = Changes(
        change=judge.medium.format.CHANGE,
        half=judge.medium.format.HALF,
        idle=bench.client.idle_changes,
    )
    return trigger(
        phase,
        judge.flashed.layout,
        target,
        new.slot.size,
        changes=changes,
        next_boot=bench.board.boots + 1,
        number=number,
    )


def _reach_word(
    bench: Bench, judge: Judge, phase: CutPhase, new: Release, begun: Callable[[], object]
) -> None:
    """Take the power when the device has said it, and not later."""
    board = bench.board
    if phase is CutPhase.ACKNOWLEDGED:
        bench.client.start_install(bench.offer(new))
        begun()
        result = bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
        bench.must(result.ok, f"refused {new.version}")
    else:
        boots = board.boots
        bench.client.reboot(timeout=60)
        problem = judge.health.wait(boots)
        bench.must(not problem, f"{new.version} was not committed: {problem}")
    board.can.choose_loss.freeze()
