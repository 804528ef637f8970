"""Products that only one kind of loss bricks: each is found, and by nothing simpler."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.clients import grub_environment
from harness.crash.equivalence import mixtures
from harness.crash.equivalence.families import Family
from harness.crash.exploration import summary
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.sources import sources
from harness.crash.recording import phases
from harness.crash.recording.recording import Recording, own_files
from harness.crash.states.cut import parse
from harness.crash.states.in_doubt import WritesInDoubt
from harness.crash.states.sources import Sources, cut_off
from harness.judge.verdict import Verdict
from harness.medium.log import CHANGES, LogReader, Origin, create_log
from harness.medium.loss import choose
from harness.medium.model import Loss, Model
from harness.product.layout import MIB
from tests.unit.crash import recordings
from tests.unit.crash.logs import SECTOR, content
from tests.unit.crash.recordings import DATA_SIZE, LAYOUT, NEW, OLD, SELECTION, Log, proof

SECTORS = 16  # at the end of the data partition, where no file is
PLACE = MIB + DATA_SIZE - SECTORS * SECTOR
RANDOM = choose([SECTOR] * 7, Loss.parse("some:0")).kept  # which of seven writes a coin keeps


@dataclass(frozen=True)
class Product:
    """It writes (first sector, sectors) without a flush; which sectors are new says whether it
    boots."""

    writes: tuple[tuple[int, int], ...]
    bricks: Callable[[set[int]], bool]
    family: Family


def singles(count: int) -> tuple[tuple[int, int], ...]:
    return tuple((sector, 1) for sector in range(count))


PRODUCTS = {
    "an older write is torn": Product(
        ((0, 2), (4, 1), (5, 1)),
        lambda new: 0 in new and 1 not in new and {4, 5} <= new,
        Family.BORDER,
    ),
    "a write is kept in part, alone": Product(
        ((4, 1), (0, 2), (5, 1)), lambda new: new == {0}, Family.BORDER
    ),
    "two are lost": Product(singles(6), lambda new: new == {0, 2, 3, 5}, Family.PAIR),
    "two are kept": Product(singles(6), lambda new: new == {1, 4}, Family.PAIR),
    "a mixture": Product(singles(7), lambda new: new == set(RANDOM), Family.SUBSET),
}
BEFORE = (Family.ALL, Family.NONE, Family.SINGLE, Family.TORN)


def recorded(folder: Path, product: Product) -> Recording:
    """An update of the product that ends well."""
    found = recordings.recording(folder)
    create_log(found.log, Origin(model="disk", size=found.base.stat().st_size, base="-"))
    log = Log(found.log).mark("boot 1").data().flush()
    log.mark(phases.START).mark("boot 2").data().flush().mark(phases.INSTALL)
    for first, count in product.writes:
        log.write(PLACE + first * SECTOR, b"new!" * (count * SECTOR // 4))
    log.flush().slot("slot-B").flush().select(recordings.AFTER).mark(phases.INSTALLED)
    log.mark(phases.REBOOT).data().flush().mark("boot 3").select(recordings.AFTER).data().flush()
    log.select(recordings.AFTER).mark(phases.HEALTHY).mark(phases.INSTALL).slot("slot-A").flush()
    log.select(recordings.BEFORE).mark(phases.INSTALLED).mark(phases.REBOOT).mark("boot 4")
    log.select(recordings.BEFORE).data().flush().select(recordings.AFTER).mark("boot 5")
    log.select(recordings.AFTER).data().flush().mark(phases.END).writer.close()
    span = phases.find(found.log, LAYOUT)
    changed = replace(
        found,
        files=own_files(found.folder),
        start=span.start,
        end=span.end,
        phases=span.phases,
    )
    changed.save()
    return changed


def bricked(product: Product, state: Sources) -> bool:
    area = content(state, PLACE // SECTOR, SECTORS)
    new = {s for s in range(SECTORS) if area[s * SECTOR :].startswith(b"new!")}
    return product.bricks(new)


def explored(found: Recording, product: Product) -> Exploration:
    """Until nothing is undecided; a boot is a look at the state's bytes."""
    exploration = Exploration(found, seed=5)
    place = (PLACE // SECTOR, SECTORS)
    while left := exploration.undecided():
        state = left[0].kinds[0].states[0]
        left_over = sources(found, state, [])
        verdict = Verdict.BRICKED if bricked(product, left_over) else _ends(left_over)
        made = proof(found, len(exploration.booted), state, verdict)
        reads = [SELECTION, place]
        exploration.add(replace(made, reads=reads, reads_judged=reads), sample=False)
    return exploration


def _ends(state: Sources) -> Verdict:
    """By the slot that the boot selection names."""
    image = content(state, 0, MIB // SECTOR)
    block = next(b for b in (image[:512], image[512:1024]) if grub_environment.parse(b))
    selection = grub_environment.parse(block)
    assert selection
    images = [image[LAYOUT[slot.region].offset :][: len(OLD)] for slot in selection.order]
    return (
        Verdict.OLD if next(each for each in images if each in (OLD, NEW)) == OLD else Verdict.NEW
    )


def states(found: Recording, families: tuple[Family, ...]) -> Iterator[str]:
    """All states of some families, named one by one."""
    unflushed = WritesInDoubt(Model.DISK)
    with LogReader(found.log) as reader:
        log = list(reader.records())
    for record in log[: found.end + 1]:
        unflushed.add(record)
        at = record.position + 1
        doubts = [each.record for each in unflushed.doubts() if not each.promised]
        names = ["all", "none"]
        names += [f"{way}:{each.position}" for way in ("only", "without") for each in doubts]
        if record.kind in CHANGES:
            names += [f"torn:{at - 1}:{kept}" for kept in range(1, record.length // SECTOR)]
        for state in (f"{at}/{name}" for name in names):
            if at > found.start and mixtures.family(parse(state).first) in families:
                yield state


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_that_one_kind_of_loss_bricks(tmp_path: Path, name: str) -> None:
    product = PRODUCTS[name]
    found = recorded(tmp_path, product)
    results = summary.results_of(explored(found, product), seconds=1.0, jobs=1)
    assert results.counts.undecided == 0
    assert results.verdicts[Verdict.BRICKED] > 0
    assert set(results.problems) <= {  # no sample, no second cut, no reader is asked for here
        "the exploration was ended before it was complete",
        f"{results.counts.nested.missing:,} boots of second cuts are missing",
        "the real readers were not asked (no audit)",
    }
    (bad,) = (each for each in results.bad if each.verdict is Verdict.BRICKED)
    assert mixtures.family(parse(bad.state).first) is product.family, bad.state
    assert bricked(product, sources(found, parse(bad.state), []))
    for state in states(found, BEFORE):  # nothing simpler would have found it
        simple = Sources(found.base.stat().st_size, found.base)
        cut_off(simple, found.log, Model.DISK, parse(state).first)
        assert not bricked(product, simple), state
