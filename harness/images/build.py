"""Recipe -> release: the package base (cached), the slot, the disk image, the update artifact.

A release is cached under the hash of all its inputs and appears there at once, complete, by a
rename; two builds of the same inputs wait for each other. A variant is another slot from the same
cached base: seconds.
"""

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import paths
from harness.errors import BuildError, ConfigurationError
from harness.images import bootloader, debian, disk, layout, pki, root, slot, tools
from harness.images import recipe as recipes
from harness.images import release as releases
from harness.images.artifacts import rauc
from harness.images.recipe import Base, Recipe, Signing
from harness.images.release import Release
from harness.images.tree import Tree
from harness.log import step

# One date for everything that is built: content decides, not the day (reproducible-builds.org).
EPOCH = 1700000000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One build: what it is made from, and the hash that names it."""

    recipe: Recipe
    version: str
    variants: tuple[str, ...]
    base: Path
    signing: Signing
    key: Path  # public SSH key
    inputs: str


def build(
    recipe_folder: Path,
    *,
    version: str,
    variants: Sequence[str] = (),
    output: Path | None = None,
) -> Release:
    """The release of a recipe; built unless the cache has it, copied to `output` when given.

    Raises ConfigurationError for a wrong recipe, variant or version, BuildError when it cannot be
    built (no such package, slot too small, a tool failed).
    """
    recipe = recipes.load(recipe_folder)
    recipe.chosen(variants)
    if not version or not set(version) <= set("0123456789abcdefghijklmnopqrstuvwxyz.-+~"):
        raise ConfigurationError(f"version '{version}': use digits, a-z and . - + ~")
    base = _base(recipe)
    job = _job(recipe, version, tuple(variants), base)
    folder = paths.cache() / "releases" / job.inputs
    with _locked(folder):
        if not (folder / releases.FILE).is_file():
            with step("build", machine=recipe.machine, version=version, variants=list(variants)):
                _build_into(folder, job)
    found = releases.load(folder)
    return _copy(found, output) if output else found


def base_path(base: Base) -> Path:
    """Where the cache keeps a package base: named by the hash of what it is made from."""
    content = asdict(base)
    del content["prune"]  # happens later: another list needs no other base
    return paths.cache() / "base" / f"{_hash(content, EPOCH, debian.RULES)}.tar"


def _base(recipe: Recipe) -> Path:
    """The cached package base: `<hash>.tar`, `.json` (suites) and `.packages.txt` next to it."""
    target = base_path(recipe.base)
    with _locked(target):
        if not target.with_suffix(".json").is_file():
            with (
                step("base", suite=recipe.base.suite, architecture=recipe.base.architecture),
                tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as name,
            ):
                _make_base(recipe.base, Path(name), target)
    return target


def _make_base(base: Base, work: Path, target: Path) -> None:
    log = target.with_suffix(".log")
    log.unlink(missing_ok=True)
    suites = debian.make(base, work / "base.tar", log=log, epoch=EPOCH)
    packages = debian.package_list(Tree.of_tar(work / "base.tar", epoch=EPOCH))
    about = {"suites": list(suites), "sha256": releases.digest(work / "base.tar").sha256}
    target.with_suffix(".packages.txt").write_text(packages, encoding="utf-8")
    (work / "base.tar").rename(target)
    (work / "about.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    (work / "about.json").rename(target.with_suffix(".json"))


def _job(recipe: Recipe, version: str, variants: tuple[str, ...], base: Path) -> _Job:
    signing = recipe.signing or pki.development()
    key = recipe.login.authorized_key or pki.ssh_key().with_suffix(".pub")
    return _Job(
        recipe=recipe,
        version=version,
        variants=variants,
        base=base,
        signing=signing,
        key=key,
        inputs=_hash(
            _about(base),
            version,
            variants,
            EPOCH,
            _folder_hashes(recipe.folder),
            [_folder_hashes(folder) for folder in recipe.outside],
            {
                p.name: releases.digest(p).sha256
                for p in (signing.certificate, signing.keyring, key)
            },
            _folder_hashes(Path(__file__).parent),  # the builder itself is an input
            tools.versions(),
        ),
    )


def _build_into(folder: Path, job: _Job) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as name:
        work = Path(name) / "release"
        work.mkdir()
        _make_release(work, job)
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)


def _make_release(work: Path, job: _Job) -> None:
    recipe, chosen = job.recipe, job.recipe.chosen(job.variants)
    with step("slot"):
        tree = Tree.of_tar(job.base, epoch=EPOCH)
        modules = root.reduce(tree, recipe)
        root.finish(
            tree,
            recipe,
            chosen,
            root.Identity(
                version=job.version, variants=job.variants, key=job.key, keyring=job.signing.keyring
            ),
        )
        root.add_initramfs(tree, recipe, chosen, modules)
        tree.write(work / "root.tar")
        image = slot.make(
            work / "root.tar",
            work / "slot.img",
            compression=recipe.disk.compression,
            size=recipe.disk.slot_size,
            epoch=EPOCH,
        )
        (work / "root.tar").unlink()
    regions = layout.regions(slot_size=recipe.disk.slot_size, data_size=recipe.disk.data_size)
    with step("disk"):
        boots = [*recipe.boot, *(v.boot for v in chosen if v.boot)]
        parts = disk.Parts(
            signature=recipe.disk.signature,
            boot=bootloader.boot_partition(boots, recipe.disk.signature, epoch=EPOCH),
            slot=image,
            regions=regions,
        )
        disk.make(parts, work / "disk.img", epoch=EPOCH)
    with step("bundle"):
        rauc.make(
            image,
            work / "update.raucb",
            compatible=recipe.compatible,
            version=job.version,
            signing=job.signing,
        )
    shutil.copyfile(job.base.with_suffix(".packages.txt"), work / "packages.txt")
    about = _about(job.base)
    Release(
        folder=work,
        machine=recipe.machine,
        version=job.version,
        variants=job.variants,
        client=recipe.client,
        compatible=recipe.compatible,
        inputs=job.inputs,
        base=job.base.stem,
        suites=tuple(about["suites"]),
        recipe=_told(recipe.folder),
        source_date_epoch=EPOCH,
        slot=releases.digest(image),
        layout=regions,
        files={name: releases.digest(work / name) for name in releases.FILES},
    ).write()


def _told(folder: Path) -> str:
    """A recipe's folder as the release names it: inside of the checkout the same everywhere."""
    resolved = folder.resolve()
    inside = resolved.is_relative_to(paths.checkout())
    return str(resolved.relative_to(paths.checkout()) if inside else resolved)


def _copy(release: Release, output: Path) -> Release:
    """Copy a release out of the cache; `output` must not exist or be an older release."""
    if output.exists() and not (output / releases.FILE).is_file():
        raise ConfigurationError(f"{output}: exists and is not a release", hint="name a new folder")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for path in release.folder.iterdir():
            # Sparse files stay sparse, file systems that can share blocks do.
            tools.copy(path, partial / path.name)
        shutil.rmtree(output, ignore_errors=True)
        partial.rename(output)
    except OSError as error:
        raise BuildError(f"{output}: {error.strerror}") from error
    return releases.load(output)


def _about(base: Path) -> dict[str, list[str]]:
    content: dict[str, list[str]] = json.loads(base.with_suffix(".json").read_text())
    return content


def _folder_hashes(folder: Path) -> dict[str, str]:
    """Relative path -> hash of content and executable bit, of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            found[path.relative_to(folder).as_posix()] = mode + releases.digest(path).sha256
    return found


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One builder at a time for one target; the lock goes with the process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
