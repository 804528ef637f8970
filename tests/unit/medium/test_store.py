"""Whatever is written, a cut leaves exactly what the definition says."""

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.store import PowerLost, Refused, Store
from harness.medium.model import Failing, Loss, LossKind, Misdeed, Model
from harness.medium.replay import replay

from .reference import SIZE, Reference, content, scramble

NONE = Loss(kind=LossKind.NONE)
SEEDED = [LossKind.NONE, LossKind.ALL, LossKind.SOME, LossKind.TORN]


@pytest.mark.parametrize("kind", SEEDED)
@pytest.mark.parametrize("seed", range(25))
def test_random_writes_and_cuts(store: Store, folder: Path, kind: LossKind, seed: int) -> None:
    chance = random.Random(seed)
    reference = Reference(content(folder))
    for _ in range(4):
        scramble(store, reference, chance, chance.randint(0, 40))
        assert content(folder) == reference.view()
        assert store.position == reference.position
        unflushed = [change.position for change in reference.unflushed()]
        assert store.pending == len(unflushed)
        store.freeze()
        cut = store.drop(Loss(kind=kind, seed=seed))
        store.release()
        assert cut.unflushed == len(unflushed)
        assert list(cut.kept) == [at for at in unflushed if at in cut.kept]
        assert kind is not LossKind.NONE or cut.kept == ()
        assert kind is not LossKind.ALL or list(cut.kept) == unflushed
        assert cut.torn is None or kind is LossKind.TORN
        reference.cut(cut)
        assert content(folder) == reference.view()


def test_a_cut_is_the_same_every_time(folder: Path, image: Path, tmp_path: Path) -> None:
    outcomes = []
    for name in "ab":
        place = tmp_path / name
        place.mkdir()
        store = Store(place)
        store.load(image)
        scramble(store, Reference(content(place)), random.Random(5), 30)
        store.freeze()
        outcomes.append(store.drop(Loss(kind=LossKind.TORN, seed=9), digest=True))
        store.close()
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0].sha256) == 64


def test_a_storage_fault_is_stable_and_in_the_log(
    store: Store, folder: Path, image: Path, tmp_path: Path
) -> None:
    era = store.attach()
    store.write(era, b"\1" * 2048, 1024)
    with pytest.raises(Refused, match="power off first"):
        store.spoil(1024, bytes(512))
    store.freeze()
    store.drop(Loss(kind=LossKind.ALL))
    store.release()
    store.spoil(1536, bytes(1024))
    assert content(folder)[1024:3072] == b"\1" * 512 + bytes(1024) + b"\1" * 512
    with pytest.raises(ValueError, match="not whole sectors"):
        store.spoil(100, bytes(512))
    store.freeze()
    assert store.drop(NONE).unflushed == 0
    replay(image, folder / "log.bin", store.position, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content(folder)


def test_seeds_differ(store: Store, folder: Path, tmp_path: Path) -> None:
    era = store.attach()
    for sector in range(20):
        store.write(era, bytes([sector]) * 512, sector * 512)
    store.freeze()
    (tmp_path / "saved").mkdir()
    store.save(tmp_path / "saved")
    kept = set()
    for seed in range(8):
        store.restore(tmp_path / "saved")
        kept.add(store.drop(Loss(kind=LossKind.SOME, seed=seed)).kept)
    assert len(kept) == 8


def test_a_torn_write_is_cut_at_a_sector(store: Store, folder: Path) -> None:
    before = content(folder)
    era = store.attach()
    store.write(era, b"x" * 4096, 8192)
    store.freeze()
    cut = store.drop(Loss(kind=LossKind.TORN, seed=3))
    assert cut.torn and cut.torn[0] == 0 and 1 <= cut.torn[1] <= 7
    new = cut.torn[1] * 512
    assert content(folder)[8192 : 8192 + new] == b"x" * new
    assert content(folder)[8192 + new :] == before[8192 + new :]


def test_a_single_sector_is_never_torn(store: Store, folder: Path) -> None:
    era = store.attach()
    store.write(era, b"x" * 512, 0)
    store.freeze()
    assert store.drop(Loss(kind=LossKind.TORN, seed=3)).torn is None


def test_fua_over_an_unflushed_write_wins_whatever_is_kept(store: Store, folder: Path) -> None:
    era = store.attach()
    store.write(era, b"a" * 1024, 0)
    store.write(era, b"b" * 512, 0, fua=True)
    assert store.pending == 1
    store.freeze()
    store.drop(Loss(kind=LossKind.ALL))
    assert content(folder)[:1024] == b"b" * 512 + b"a" * 512


def test_requests_from_before_a_release_fail(store: Store) -> None:
    era = store.attach()
    store.freeze()
    store.drop(NONE)
    store.release()
    with pytest.raises(PowerLost):
        store.write(era, bytes(512), 0)
    with pytest.raises(PowerLost):
        store.flush(era)
    with pytest.raises(PowerLost):
        store.read_into(era, bytearray(512), 0)


def test_refusals(tmp_path: Path, image: Path) -> None:
    (tmp_path / "new").mkdir()
    store = Store(tmp_path / "new")
    with pytest.raises(Refused, match="flash an image first"):
        store.attach()
    odd = tmp_path / "odd.img"
    odd.write_bytes(b"12345")
    with pytest.raises(ValueError, match="5 bytes are not a whole number"):
        store.load(odd)
    store.load(image)
    with pytest.raises(Refused, match="freeze the medium"):
        store.drop(NONE)
    era = store.attach()
    with pytest.raises(Refused, match="power off first"):
        store.load(image)
    for offset, length in ((1, 512), (0, 5), (SIZE, 512)):
        with pytest.raises(ValueError, match="not whole sectors"):
            store.write(era, bytes(length), offset)
    store.freeze()
    with pytest.raises(Refused, match="frozen"):
        store.attach()
    store.close()


def test_unflushed_writes_survive_an_orderly_close(folder: Path, image: Path) -> None:
    store = Store(folder)
    store.load(image)
    store.write(store.attach(), b"x" * 512, 0)
    store.close()
    again = Store(folder)
    assert again.pending == 1
    again.freeze()
    again.drop(NONE)
    assert content(folder) == image.read_bytes()
    again.close()


def test_nothing_is_in_doubt_when_opened_again_after_a_cut(folder: Path, image: Path) -> None:
    store = Store(folder)
    store.load(image)
    store.write(store.attach(), b"x" * 512, 0)
    store.freeze()
    store.drop(Loss(kind=LossKind.ALL))
    store.close()
    again = Store(folder)
    assert again.pending == 0
    again.close()


def test_a_long_run_of_the_past_does_not_spoil_a_restore(folder: Path, tmp_path: Path) -> None:
    """More than the undo file keeps (64 MiB) was flushed; then one more write is in doubt."""
    image, saved = tmp_path / "sparse.img", tmp_path / "saved"
    with image.open("wb") as stream:
        stream.truncate(72 << 20)
    saved.mkdir()
    store = Store(folder)
    store.load(image)
    era = store.attach()
    store.write(era, b"old!" * 128, 0)
    store.zero(era, 0x1000, 70 << 20)
    store.flush(era)
    store.write(era, b"new!" * 128, 0)
    store.freeze()
    store.save(saved)
    store.restore(saved)
    store.drop(NONE)
    with (folder / "content.img").open("rb") as stream:
        assert stream.read(512) == b"old!" * 128
    store.close()


def test_large_writes_zeroes_and_discards_on_a_sparse_medium(folder: Path, tmp_path: Path) -> None:
    size, mib = 24 << 20, 1 << 20
    image = tmp_path / "sparse.img"
    with image.open("wb") as stream:
        stream.truncate(size)
        stream.seek(5 * mib)
        stream.write(b"old" * mib)
    chance = random.Random(8)
    for seed in range(6):
        store = Store(folder)
        store.load(image)
        reference = Reference(image.read_bytes())
        era = store.attach()
        for _ in range(6):
            offset = chance.randrange(size // 512 // 2) * 512
            length = chance.randrange(1, 8 * mib // 512) * 512
            what = chance.choice([store.zero, store.trim, None])
            data = bytes(length) if what else chance.randbytes(length)
            what(era, offset, length) if what else store.write(era, data, offset)
            reference.change(offset, data, promised=False)
        assert content(folder) == reference.view()
        store.freeze()
        reference.cut(store.drop(Loss(kind=LossKind.TORN, seed=seed)))
        assert content(folder) == reference.view()
        store.close()


def test_writes_from_many_threads_are_all_in_the_log(
    store: Store, folder: Path, image: Path, tmp_path: Path
) -> None:
    era = store.attach()

    def board(number: int) -> None:
        for turn in range(50):
            store.write(era, bytes([number]) * 1024, (turn + number) % 95 * 512)
            store.read_into(era, bytearray(512), 0)

    threads = [threading.Thread(target=board, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store.pending == store.position == 400
    replay(image, folder / "log.bin", 400, tmp_path / "replayed.img")
    assert (tmp_path / "replayed.img").read_bytes() == content(folder)
    store.freeze()
    store.drop(NONE)
    assert content(folder) == image.read_bytes()


def test_a_server_that_was_killed_leaves_no_content_to_trust(folder: Path, image: Path) -> None:
    Store(folder).load(image)  # never closed
    store = Store(folder)
    with pytest.raises(Refused, match="not closed in order"):
        store.attach()
    store.load(image)
    store.attach()
    store.close()


def test_restore_brings_back_unflushed_writes_log_and_freeze(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    reference = Reference(content(folder))
    scramble(store, reference, random.Random(2), 30)
    view, pending, position = content(folder), store.pending, store.position
    store.freeze()
    store.save(saved)
    store.drop(NONE)
    store.release()
    scramble(store, Reference(content(folder)), random.Random(3), 30)
    store.restore(saved)
    assert (content(folder), store.pending, store.position) == (view, pending, position)
    with pytest.raises(Refused, match="frozen"):
        store.attach()
    reference.cut(store.drop(Loss(kind=LossKind.SOME, seed=4)))
    assert content(folder) == reference.view()


def test_an_unreadable_sector_is_so_until_it_is_written(store: Store, tmp_path: Path) -> None:
    store.harm(4096, 4096)
    buffer = bytearray(4096)
    era = store.attach()
    for offset in (2048, 4096, 7680):
        with pytest.raises(OSError, match="unreadable") as failure:
            store.read_into(era, memoryview(buffer)[:2560], offset)
        assert failure.value.errno == errno.EIO
    store.read_into(era, buffer, 0)
    store.write(era, b"\1" * 512, 4096)
    store.read_into(era, memoryview(buffer)[:512], 4096)
    with pytest.raises(Refused, match="power off first"):
        store.harm(0, 512)
    store.detach(era)
    store.save(tmp_path)
    store.zero(store.attach(), 4096, 4096)
    store.read_into(era, buffer, 4096)
    store.restore(tmp_path)  # unreadable as it was
    era = store.attach()
    store.read_into(era, memoryview(buffer)[:512], 4096)
    with pytest.raises(OSError, match="unreadable"):
        store.read_into(era, memoryview(buffer)[:512], 4608)
    assert len(store.peek(4096, 4096)) == 4096  # the harness may look


def test_flashing_gives_a_medium_that_is_whole(store: Store, image: Path) -> None:
    store.harm(0, 512)
    store.load(image)
    store.read_into(store.attach(), bytearray(512), 0)


def test_qemu_hides_what_an_sd_card_cannot_read(folder: Path, image: Path) -> None:
    store = Store(folder, Model.SD)
    store.load(image)
    with pytest.raises(Refused, match="SD card"):
        store.harm(0, 512)


def test_a_read_that_the_host_fails_is_no_fault_of_the_medium(store: Store, folder: Path) -> None:
    """The board is told of an error, and whoever asks the medium next that it is not honest."""
    era = store.attach()
    for file in folder.iterdir():
        if file.stat().st_size >= SIZE:
            os.truncate(file, SIZE // 2)
    buffer = bytearray(4096)
    store.read_into(era, buffer, 0)
    assert store.position == 0
    with pytest.raises(OSError, match="ends before"):
        store.read_into(era, buffer, SIZE - 4096)
    for ask in (lambda: store.position, lambda: store.mark("bricked"), store.freeze):
        with pytest.raises(Refused, match="the host cannot read the medium: OSError"):
            ask()


def test_a_medium_that_fails_as_it_was_told_is_honest(store: Store) -> None:
    era = store.attach()
    store.fail([Failing(what=Misdeed.READ_ERROR, offset=0, length=4096)])
    with pytest.raises(OSError, match="eio-read"):
        store.read_into(era, bytearray(512), 0)
    assert store.position == 0
