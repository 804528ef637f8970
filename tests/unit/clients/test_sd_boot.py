"""systemd-boot's names and GPT labels, held against bootctl, mtools and sfdisk: the same bytes."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.clients.boot_selection import BootSelection
from harness.clients.gpt_labels import table
from harness.clients.sd_boot import SdBoot, sections, split
from harness.clients.selection_format import reader_of
from harness.errors import ConfigurationError
from harness.process import run
from tests.unit.clients.boot_partitions import fat, gpt, head, kernel_image, source, uki

FOLDER = "/EFI/Linux"


def disk(folder: Path, images: dict[str, bytes], labels: tuple[str, ...] = ()) -> Path:
    esp = fat(folder, {f"{FOLDER}/{name}": content for name, content in images.items()})
    return gpt(folder, labels, esp) if labels else gpt(folder, esp=esp)


def selection(content: bytes) -> BootSelection | None:
    return reader_of(source("sd-boot")).parse(content, 3)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("p_1.0.efi", ("p_1.0.efi", None)),
        ("p_1.0+3.efi", ("p_1.0.efi", 3)),
        ("p_1.0+2-1.efi", ("p_1.0.efi", 2)),
        ("p_1.0+0-3.efi", ("p_1.0.efi", 0)),
        ("p_1.0+.efi", ("p_1.0+.efi", None)),
        ("p_1.0+x-1.efi", ("p_1.0+x-1.efi", None)),
    ],
)
def test_counters_in_names(name: str, parts: tuple[str, int | None]) -> None:
    assert split(name) == parts


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["p_1.0.0.efi"], "A>B A=good/3 B=bad/0 gen 0"),
        (["p_1.0.0.efi", "p_1.1.0+3.efi"], "B>A A=good/3 B=trial/3 gen 0"),
        (["p_1.0.0.efi", "p_1.1.0+1-2.efi"], "B>A A=good/3 B=trial/1 gen 0"),
        (["p_1.0.0.efi", "p_1.1.0+0-3.efi"], "A>B A=good/3 B=bad/0 gen 0"),
        (["p_1.0.0.efi", "p_1.1.0.efi"], "B>A A=good/3 B=good/3 gen 0"),
        (["p_1.0.0.efi", "p_1.1.0+3.efi", "p_1.1.0+2-1.efi"], "B>A A=good/3 B=trial/3 gen 0"),
        (["p_1.0.0.efi", "q_9.9.9.efi"], "A>B A=good/3 B=bad/0 gen 0"),  # no label names it
        (["other.txt"], None),
        ([], None),
    ],
)
def test_what_is_booted(tmp_path: Path, names: list[str], said: str | None) -> None:
    images = {name: uki(name.split("_")[-1].split("+")[0].removesuffix(".efi")) for name in names}
    found = selection(head(disk(tmp_path, images)))
    assert (str(found) if found else None) == said


@pytest.mark.parametrize(
    "content", [b"", b"MZ", uki("1.1.0")[:1100], kernel_image("", (b".linux",))]
)
def test_what_is_no_image_is_not_booted(tmp_path: Path, content: bytes) -> None:
    """A rename that was cut leaves the name, and 0 bytes."""
    found = selection(head(disk(tmp_path, {"p_1.0.0.efi": uki("1.0.0"), "p_1.1.0.efi": content})))
    assert str(found) == "A>B A=good/3 B=bad/0 gen 0"
    assert selection(head(disk(tmp_path, {"p_1.1.0.efi": content}))) is None


def test_as_mtools_names_them(tmp_path: Path) -> None:
    images = {"p_1.0.0.efi": uki("1.0.0"), "p_1.1.0+2-1.efi": b""}
    made = disk(tmp_path, images)
    listed = run(["mdir", "-b", "-i", f"{made}@@1M", f"::{FOLDER}"], timeout=30).stdout.split()
    told = reader_of(source("sd-boot")).variables(head(made))
    assert told == {"p_1.0.0.efi": "bootable", "p_1.1.0+2-1.efi": "no image, 0 bytes"}
    assert [name.rpartition("/")[2] for name in listed] == list(told)


@pytest.mark.skipif(
    not shutil.which("bootctl") or os.geteuid() != 0, reason="no systemd-boot here, or not root"
)
def test_as_bootctl_names_them(tmp_path: Path) -> None:
    """systemd's own reader, of the same files: its entries, counters and order."""
    images = {"p_1.0.0.efi": uki("1.0.0"), "p_1.1.0+2-1.efi": uki("1.1.0"), "p_1.2.0.efi": b""}
    for name, content in images.items():
        (tmp_path / name).write_bytes(content)
    script = (
        'mount -t tmpfs none /mnt && mkdir -p /mnt/EFI/Linux && cp "$1"/*.efi /mnt/EFI/Linux &&'
    )
    script += " bootctl --json=short --esp-path=/mnt list"
    argv: list[str | Path] = ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path]
    said = run(argv, timeout=30, env={"SYSTEMD_RELAX_ESP_CHECKS": "1"}).stdout.splitlines()
    listed = [json.loads(line) for line in said]
    form = reader_of(source("sd-boot"))
    assert isinstance(form, SdBoot)
    found = [(each.version, each.left) for each in form.entries(head(disk(tmp_path, images)))]
    assert found == [(each["version"], each.get("triesLeft")) for each in listed]
    assert found == [("1.1.0", 2), ("1.0.0", None)]


def test_labels_as_sfdisk_names_them(tmp_path: Path) -> None:
    made = gpt(tmp_path, ("esp", "root_1.0.0", "_empty"))
    listed = json.loads(run(["sfdisk", "--json", made], timeout=30).stdout)["partitiontable"]
    names = {str(i): each["name"] for i, each in enumerate(listed["partitions"], 1)}
    form = reader_of(source("gpt-labels"))
    assert form.variables(head(made)) == names
    found = form.parse(head(made), 1)
    assert str(found) == "A>B A=good/1 B=bad/1 gen 0"


def test_the_newest_label_is_booted(tmp_path: Path) -> None:
    form = reader_of(source("gpt-labels"))
    found = form.parse(head(gpt(tmp_path, ("esp", "root_1.9.0", "root_1.10.0"))), 1)
    assert str(found) == "B>A A=good/1 B=good/1 gen 0"
    assert form.parse(head(gpt(tmp_path, ("esp", "x", "_empty"))), 1) is None


def test_a_torn_table_is_none(tmp_path: Path) -> None:
    whole = head(disk(tmp_path, {"p_1.0.0.efi": uki("1.0.0")}))
    assert selection(whole) is not None
    for at in (512, 1024):  # header, entries: their checksums
        torn = whole[: at + 60] + bytes([whole[at + 60] ^ 1]) + whole[at + 61 :]
        assert table(torn) == {}
        assert selection(torn) is None
    assert table(b"") == {}
    assert table(bytes(4096)) == {}
    assert table(whole[: 512 + 32] + b"\xff" * 8 + whole[512 + 40 :]) == {}


def test_sections_of_an_image() -> None:
    assert sections(uki("1.0.0")) == {b".osrel", b".linux"}
    assert sections(b"") == set()


@pytest.mark.parametrize("words", [{"name": "("}, {"label": "root"}, {"A": "two"}, {"table": "1"}])
def test_words_that_cannot_be_used(words: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"words.{next(iter(words))}"):
        reader_of(source("sd-boot", **words))
