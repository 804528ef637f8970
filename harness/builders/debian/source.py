"""Debian source packages: fetched with the host's apt (hashes checked by it), patched, cached.

Kept below the cache: `source/<key>/` holds the archives, `tree/` the unpacked and patched source.
Delete a folder to get a newer one.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import paths, process
from harness.builders.debian import packages, tools
from harness.builders.debian.recipe import PackageBase
from harness.errors import BuildError

_TREE = "tree"


def unpacked(package: str, base: PackageBase) -> Path:
    """The patched source of `package` in the base's suite; BuildError when it cannot be had."""
    folder = paths.cache() / "source" / key(package, base)
    with tools.locked(folder):
        folder.mkdir(exist_ok=True)
        if not (folder / _TREE).is_dir():
            with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name:
                work = Path(name)
                _download(package, base, work)
                unpack(package, work).rename(folder / _TREE)
    return folder / _TREE


def key(package: str, base: PackageBase, *more: str) -> str:
    """The hash that names what is made of a source package."""
    text = json.dumps([package, base.suite, *more])
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def scratch(parent: Path, tree: Path) -> Iterator[Path]:
    """A copy of a source tree to build in, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".build-", dir=parent) as name:
        work = Path(name) / _TREE
        process.run(["cp", "-a", "--reflink=auto", tree, work], timeout=300, error=BuildError)
        yield work


def _download(package: str, base: PackageBase, work: Path) -> None:
    """The archives of a source package, with an apt of our own: the host's sources, its suite."""
    (work / "lists/partial").mkdir(parents=True)
    (work / "archives/partial").mkdir(parents=True)
    lines = [f"deb-src{str(s).removeprefix('deb')}\n" for s in packages.sources(base)]
    (work / "sources.list").write_text("".join(lines), encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::Status": "/dev/null",
        "Dir::Cache": work,
        "APT::Sandbox::User": "",  # the folder is ours alone, and gone afterwards
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    log = work.parent / "apt.log"
    process.run(["apt-get", *options, "-q", "update"], timeout=600, error=BuildError, log=log)
    # Without its .dsc (seen missing on a mirror) apt fails and has still fetched and checked, by
    # the signed index, all that is needed: what counts is what is there.
    process.run(
        ["apt-get", *options, "-q", "source", "--download-only", package],
        timeout=600,
        error=BuildError,
        log=log,
        cwd=work,
        check=False,
    )


def unpack(package: str, work: Path) -> Path:
    """Upstream's archive, and Debian's patches applied to it."""
    upstream = sorted(work.glob("*.orig.tar.*[!c]"))
    packaging = sorted(work.glob("*.debian.tar.*[!c]"))
    if len(upstream) != 1 or len(packaging) != 1:
        raise BuildError(
            f"u-boot.source: no source package '{package}' (format 3.0) could be fetched",
            hint=f"what apt said: {work.parent / 'apt.log'}",
        )
    process.run(["tar", "-xf", upstream[0]], timeout=300, error=BuildError, cwd=work)
    trees = [path for path in work.iterdir() if (path / "Makefile").is_file()]
    if len(trees) != 1:
        raise BuildError(f"{upstream[0].name}: not one source tree")
    process.run(["tar", "-xf", packaging[0]], timeout=60, error=BuildError, cwd=trees[0])
    series = trees[0] / "debian/patches/series"
    for line in series.read_text(encoding="utf-8").splitlines() if series.is_file() else ():
        name = line.split("#")[0].strip()
        if name:
            argv = ["patch", "-p1", "-s", "-i", f"debian/patches/{name}"]
            process.run(argv, timeout=60, error=BuildError, cwd=trees[0])
    shutil.rmtree(trees[0] / "debian")
    return trees[0]
