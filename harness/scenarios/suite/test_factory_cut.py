"""Scenario 13: the power goes in the first boot of a device, before its site has ever seen it.

Nothing but that boot makes who it is. It must come up after it, be the same device from then on,
take what its site gives it, and update. The factory flashes the new version.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Self

import pytest
from _pytest.mark import ParameterSet

from harness.boards.capability import SavedState
from harness.evidence.record import Fault
from harness.judge.identity import Identity
from harness.judge.provision import BOOT_SECONDS
from harness.judge.verdict import Verdict
from harness.medium.model import Event, Loss, Stage, Trigger
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.test_power_cut import NEEDS

pytestmark = pytest.mark.own_programs


class Moment(StrEnum):
    """When the power goes: with so many bytes written to the data partition, or at a word. (On the
    gateway a key and an id take some 130 KiB, most of it journal; each is synced.)"""

    MOUNTED = "data:8K"  # it is mounted, for the first time ever
    KEY = "data:64K"  # the host key is on its way, or has just its name
    ID = "data:96K"  # there is a host key, and no device id yet
    HEALTHY = "healthy"  # the device has just said that it is well, and shown who it is


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryCut:
    """A cut in the first boot; prints as `data:64K/all`."""

    moment: Moment
    loss: Loss

    def __str__(self) -> str:
        return f"{self.moment}/{self.loss}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the printed form back; raises ValueError."""
        moment, _, loss = text.partition("/")
        return cls(moment=Moment(moment), loss=Loss.parse(loss))


def when(moment: Moment, release: Release) -> Trigger:
    """What a moment before the device's first word is on its medium."""
    count = int(moment.removeprefix("data:").removesuffix("K")) << 10
    offset, length = release.layout["data"]
    stage = Stage(event=Event.BYTES, count=count, offset=offset, length=length)
    return Trigger(stages=(stage,))


def strike(bench: Bench, moment: Moment, release: Release) -> SavedState:
    """Flash, boot, and take the power at that moment; leaves it off, nothing lost yet."""
    board = bench.board
    bench.calm()
    board.power_off()
    board.flash(release.disk_image)
    bench.identity.become(Identity())
    if moment is Moment.HEALTHY:
        board.power_on()
        bench.client.await_health(timeout=BOOT_SECONDS)
        status = bench.client.status(timeout=60)
        bench.identity.look(board, status, timeout=60)
        board.can.choose_loss.freeze()
    else:
        board.can.cut_at_write.arm(when(moment, release))
        board.power_on()
        board.can.cut_at_write.wait_cut(BOOT_SECONDS)
    return board.can.save.save(f"factory-{moment}-{release.slot.sha256[:8]}")


def factory_cut(
    bench: Bench, scenario: Scenario, cut: FactoryCut, old: Release, new: Release
) -> None:
    """One cut under one loss model; two boots, its site in between, and an update to `new`."""
    judge, board = bench.judge(old, new), bench.board
    with scenario:
        scenario.fault = Fault(printed=str(cut), seed=cut.loss.seed)
        key = f"{old.files['disk.img'].sha256}{cut.moment}"
        if key not in bench.saved:
            bench.saved[key] = strike(bench, cut.moment, old)
            bench.identities[key] = replace(bench.identity)
        board.can.save.restore(bench.saved[key])
        bench.identity.become(bench.identities[key])
        made = board.can.choose_loss.cut(cut.loss)
        state = (key, made.kept, made.torn)  # as in a power cut of an update
        told: dict[str, object] = {"cut": asdict(made)}
        if state in bench.judged:
            told["same_state_as"] = scenario.adopt(bench.judged[state], {Verdict.OLD})
        scenario.fault = replace(scenario.fault, parameters=told)
        if state in bench.judged:
            return
        boots = board.boots
        board.power_on()
        alone = replace(judge, provisioned=False, asks_server=False)
        judgement = alone.judge(boots_before=boots)
        scenario.must("comes-up-at-once", judgement.verdict is Verdict.OLD, str(judgement.verdict))
        if not judgement.verdict.failed:
            bench.hand_over()
            judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD}, final="old")
        scenario.second_update(judge, judgement)
        bench.judged[state] = scenario.judged()


def _cases() -> list[ParameterSet]:
    """Every moment under every loss model; a moment stays on one worker, which shares it."""
    losses = [Loss.parse(each) for each in ("none", "all", "some:1", "torn:1")]
    cuts = [FactoryCut(moment=moment, loss=loss) for moment in Moment for loss in losses]
    return [
        pytest.param(cut, id=str(cut), marks=pytest.mark.xdist_group(f"factory-{cut.moment}"))
        for cut in cuts
    ]


@pytest.mark.needs(*NEEDS)
@pytest.mark.parametrize("cut", _cases())
def test_factory_cut(bench: Bench, releases: Releases, scenario: Scenario, cut: FactoryCut) -> None:
    factory_cut(bench, scenario, cut, *releases.after(scenario))
