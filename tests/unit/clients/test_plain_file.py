"""A file whose text says what is booted, held against mtools on the same bytes."""

from pathlib import Path

import pytest

from harness.clients.boot_selection import Slot
from harness.clients.selection_format import reader_of
from harness.errors import ConfigurationError
from harness.process import run
from harness.product.profile import SelectionSource
from tests.unit.clients.boot_partitions import fat, source

CONFIG = SelectionSource(
    reader="file",
    file="/config.txt",
    words={"A": r"(?m)^os_prefix=a/$", "B": r"(?m)^os_prefix=b/$", "trial": "(?m)^#trial$"},
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arm_64bit=1\nos_prefix=a/\n", "A>B A=good/1 B=bad/1 gen 0"),
        ("os_prefix=b/\n#trial\n", "B>A A=bad/1 B=trial/1 gen 0"),
        ("os_prefix=a/\nos_prefix=b/\n", None),
        ("os_prefix=\n", None),
        ("", None),
    ],
)
def test_the_text_names_the_slot(tmp_path: Path, text: str, said: str | None) -> None:
    image = fat(tmp_path, {"/config.txt": text.encode()})
    form = reader_of(CONFIG)
    found = form.parse(image.read_bytes(), 1)
    assert (str(found) if found else None) == said
    shown = run(["mtype", "-i", image, "::/config.txt"], timeout=30).stdout
    assert list((form.variables(image.read_bytes()) or {}).values()) == shown.splitlines()


def test_no_file_is_none(tmp_path: Path) -> None:
    assert reader_of(CONFIG).parse(fat(tmp_path, {}).read_bytes(), 1) is None
    assert reader_of(CONFIG).parse(b"", 1) is None


def test_on_ext4_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/config.txt").write_text("os_prefix=b/\n")
    image = tmp_path / "part"
    run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "in", image, "4M"], timeout=30)
    found = reader_of(CONFIG).parse(image.read_bytes(), 1)
    assert found is not None
    assert found.primary is Slot.B


def test_what_must_be_said() -> None:
    with pytest.raises(ConfigurationError, match=r"words\.A"):
        reader_of(source("file", "/config.txt", B="b"))
    with pytest.raises(ConfigurationError, match=r"boot_selection\.file"):
        reader_of(source("file", A="a", B="b"))
    with pytest.raises(ConfigurationError, match="reads no product"):
        reader_of(source("u-boot"))
