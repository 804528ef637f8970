"""Recipe -> release: the package base (cached), the slot, the disk image, the update artifact.

A release is cached under the hash of all its inputs and appears there at once, complete, by a
rename; two builds of the same inputs wait for each other. A variant is another slot from the same
cached base: seconds. Releases that nobody asks for any more leave the cache.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import files, paths, plugins, project, schema
from harness import version as versions
from harness.builders.debian import disk, overlay, packages, pki, root, slot, tools
from harness.builders.debian import recipe as recipes
from harness.builders.debian.artifacts import maker
from harness.builders.debian.bootloaders import bootloader
from harness.builders.debian.built import Built
from harness.builders.debian.recipe import EPOCH, PackageBase, Recipe, Signing, Variant
from harness.builders.debian.tree import Tree
from harness.errors import ConfigurationError
from harness.log import step
from harness.product import release as releases
from harness.product.layout import Piece
from harness.product.product import Product
from harness.product.release import Release

# What decides how a release is made: these rooms are inputs, too.
_ITSELF = (Path(__file__).parent, Path(releases.__file__).parent)
KEPT = 2 * 24 * 3600.0  # seconds: what a night's run uses is still there the next night


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """One build: what it is made from, and the hash that names it."""

    recipe: Recipe
    version: str
    variants: tuple[str, ...]
    base: Path
    signing: Signing  # of its update artifact
    trusted: Signing  # by its devices
    key: Path  # public SSH key
    server_ca: Path | None  # certificate
    inputs: str


def build(
    recipe_folder: Path,
    *,
    version: str,
    variants: Sequence[str] = (),
    output: Path | None = None,
    by_successor: bool = False,
) -> Release:
    """The release of a recipe; built unless the cache has it, copied to `output` when given.
    `by_successor`: its artifact is signed by whom its own devices trust.

    Raises ConfigurationError for a wrong recipe, variant or version, BuildError when it cannot be
    built (no such package, slot too small, a tool failed).
    """
    recipe = recipes.load(recipe_folder)
    chosen = recipe.chosen(variants)
    _require_readable(recipe)
    if told := versions.problem(version):
        raise ConfigurationError(told, hint="it must be possible to put all versions in order")
    if output:
        _require_replaceable(output)
    base = _prepare(recipe, chosen)
    job = _job(recipe, version, tuple(variants), base, by_successor=by_successor)
    folder = paths.cache() / "releases" / job.inputs
    with tools.locked(folder):
        made = not _is_release(folder)
        if made:
            with step("build", machine=recipe.machine, version=version, variants=list(variants)):
                _build_into(folder, job)
        os.utime(folder)  # used now: `_forget` goes by it
        found = releases.load(folder)
        given = _copy(found, output) if output else found
    if made:
        _forget(folder.parent)
    return given


def _forget(cached: Path) -> None:
    """Remove the releases of the cache that nobody has asked for within `KEPT`: each takes some
    200 MB, and each commit to an image makes new ones."""
    for folder in cached.iterdir():
        with contextlib.suppress(OSError):  # somebody else's, or gone already
            if folder.is_dir() and folder.stat().st_mtime < time.time() - KEPT:
                with tools.locked(folder):
                    if folder.stat().st_mtime < time.time() - KEPT:
                        shutil.rmtree(folder)


def _is_release(folder: Path) -> bool:
    """Whether a folder of the cache holds a release; what cannot be read is built again."""
    try:
        releases.load(folder)
    except ConfigurationError:
        return False
    return True


def _require_readable(recipe: Recipe) -> None:
    known = bootloader(recipe.bootloader).COMPRESSIONS
    if recipe.disk.compression not in known:
        raise ConfigurationError.of(
            str(recipe.folder / recipes.FILE),
            [f"disk.compression: {recipe.bootloader} cannot read '{recipe.disk.compression}'"],
            hint=f"it can read {', '.join(known)}",
        )


def _prepare(recipe: Recipe, chosen: Sequence[Variant]) -> Path:
    """Package base and bootloader, side by side: one waits for the network, one for the CPU."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        prepared = beside.submit(bootloader(recipe.bootloader).prepare, recipe, chosen)
        base = _base(recipe)
        prepared.result()
    return base


def base_path(base: PackageBase) -> Path:
    """Where the cache keeps a package base: named by the hash of what it is made from."""
    content = asdict(base)
    del content["prune"]  # happens later: another list needs no other base
    return paths.cache() / "base" / f"{_hash(content, EPOCH, packages.RULES)}.tar"


def _base(recipe: Recipe) -> Path:
    """The cached package base: `<hash>.tar`, `.json` (suites) and `.packages.txt` next to it."""
    target = base_path(recipe.base)
    with tools.locked(target):
        if not target.with_suffix(".json").is_file():
            with (
                step("base", suite=recipe.base.suite, architecture=recipe.base.architecture),
                tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as name,
            ):
                _make_base(recipe.base, Path(name), target)
    return target


def _make_base(base: PackageBase, work: Path, target: Path) -> None:
    log = target.with_suffix(".log")
    log.unlink(missing_ok=True)
    suites = packages.make(base, work / "base.tar", log=log, epoch=EPOCH)
    listed = packages.package_list(Tree.of_tar(work / "base.tar", epoch=EPOCH))
    about = {"suites": list(suites), "sha256": releases.digest(work / "base.tar").sha256}
    target.with_suffix(".packages.txt").write_text(listed, encoding="utf-8")
    (work / "base.tar").rename(target)
    files.write_whole(target.with_suffix(".json"), json.dumps(about).encode() + b"\n")


def _job(
    recipe: Recipe, version: str, variants: tuple[str, ...], base: Path, *, by_successor: bool
) -> _Build:
    trusted = pki.trusted(recipe, recipe.chosen(variants))
    signing = trusted if by_successor else pki.signer(recipe)
    files.require_private(signing.key)
    key = recipe.login.authorized_key
    if key == recipes.DEVELOPMENT:
        key = pki.ssh_key().with_suffix(".pub")
    authority = pki.server_ca(recipe)
    server_ca = authority.certificate if authority else None
    return _Build(
        recipe=recipe,
        version=version,
        variants=variants,
        base=base,
        signing=signing,
        trusted=trusted,
        key=key,
        server_ca=server_ca,
        inputs=_hash(
            project.told(recipe.folder),  # the release names it
            [
                plugins.origin(plugins.ARTIFACTS, recipe.client),
                plugins.origin(plugins.BOOTLOADERS, recipe.bootloader),
            ],
            _about(base),
            version,
            variants,
            EPOCH,
            _folder_hashes(recipe.folder),
            [_folder_hashes(folder) for folder in recipe.outside],
            [
                releases.digest(each).sha256 if each else ""
                for signer in (signing, trusted)
                for each in (signer.certificate, signer.keyring, key, server_ca)
            ],
            [_folder_hashes(folder) for folder in _ITSELF],  # the builder itself is an input
            tools.versions(),
        ),
    )


def _build_into(folder: Path, job: _Build) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as name:
        work = Path(name) / "release"
        work.mkdir()
        _make_release(work, job)
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)


def _make_release(work: Path, job: _Build) -> None:
    recipe, chosen = job.recipe, job.recipe.chosen(job.variants)
    image = work / "slot.img"
    with step("slot"):
        boot_files = _make_slot(image, job, chosen)
    with step("disk"):
        _make_disk(work / "disk.img", image, job, chosen, boot_files)
    artifact = maker(recipe.client)
    with step("artifact"):
        artifact.make(
            image, work / artifact.FILE, recipe=recipe, version=job.version, signing=job.signing
        )
    shutil.copyfile(job.base.with_suffix(".packages.txt"), work / "packages.txt")
    Release(
        folder=work,
        machine=recipe.machine,
        version=job.version,
        variants=job.variants,
        product=Product(
            client=recipe.client,
            bootloader=recipe.bootloader,
            compatible=recipe.compatible,
            promises=recipe.promised(chosen),
            server_ca=releases.digest(job.server_ca).sha256 if job.server_ca else "",
            successor=(
                releases.digest(job.trusted.certificate).sha256
                if recipe.succeeded_by(chosen)
                else ""
            ),
        ),
        built=schema.to_data(_built(job)),
        slot=releases.digest(image),
        artifact_name=artifact.FILE,
        layout=bootloader(recipe.bootloader).regions(recipe),
        files={name: releases.digest(work / name) for name in (*releases.FILES, artifact.FILE)},
    ).write()


def _built(job: _Build) -> Built:
    recipe = job.recipe
    return Built(
        recipe=project.told(recipe.folder),
        inputs=job.inputs,
        base=job.base.stem,
        suites=tuple(_about(job.base)["suites"]),
        sources={
            project.told(folder): _hash(_folder_hashes(folder))
            for folder in (recipe.folder, *recipe.outside)
        },
        signing=pki.told(job.signing),
        source_date_epoch=EPOCH,
    )


def _make_slot(image: Path, job: _Build, chosen: Sequence[Variant]) -> dict[str, bytes]:
    """Write the slot image; returns what of the base goes into the boot partition."""
    recipe = job.recipe
    tree = Tree.of_tar(job.base, epoch=EPOCH)
    root.place_kernel(tree, recipe)
    boot_files = {name: tree.read(path) for name, path in recipe.boot_files.items()}
    modules = root.reduce(tree, recipe)
    root.finish(
        tree,
        recipe,
        chosen,
        root.ImageIdentity(
            version=job.version,
            variants=job.variants,
            key=job.key,
            trusted=job.trusted,
            server_ca=job.server_ca,
        ),
    )
    root.add_initramfs(tree, recipe, chosen, modules)
    root.take_out(tree, chosen)
    archive = image.with_name("root.tar")
    tree.write(archive)
    slot.make(
        archive,
        image,
        compression=recipe.disk.compression,
        size=recipe.disk.slot_size,
        epoch=EPOCH,
    )
    archive.unlink()
    return boot_files


def _make_disk(
    output: Path, image: Path, job: _Build, chosen: Sequence[Variant], boot_files: dict[str, bytes]
) -> None:
    recipe, loader = job.recipe, bootloader(job.recipe.bootloader)
    regions = loader.regions(recipe)
    with tempfile.TemporaryDirectory(prefix="harness-disk-") as name:
        folder = Path(name)
        pieces = loader.pieces(recipe, chosen, boot_files, folder)
        pieces += [Piece(s, image, regions[s], kind="0x83") for s in ("slot-A", "slot-B")]
        disk.make(
            output,
            signature=recipe.disk.signature,
            pieces=pieces,
            data=regions["data"],
            folder=folder,
            epoch=EPOCH,
        )


def _copy(release: Release, output: Path) -> Release:
    """Copy a release out of the cache, in place of one that `output` holds."""
    target = output.resolve()  # the folder itself, where `output` is a link to it
    with files.told(output):
        files.make_folder(target.parent)
        with tempfile.TemporaryDirectory(prefix=".harness-", dir=target.parent) as name:
            new = Path(name) / "new"
            new.mkdir()
            for path in release.folder.iterdir():
                # Sparse files stay sparse, file systems that can share blocks do.
                tools.copy(path, new / path.name)
            _require_replaceable(output)
            if target.exists():
                target.rename(Path(name) / "old")
            new.rename(target)
    return releases.load(output)


def _require_replaceable(output: Path) -> None:
    """ConfigurationError unless nothing is at `output` but a release as it was built: whatever
    else is there, and what was changed since, is somebody's."""
    hint = "name a new folder, or remove this one"
    if not files.is_folder(output):
        if output.is_symlink() or output.exists():
            raise ConfigurationError(f"{files.shown(output)}: not a folder", hint=hint)
        return
    try:
        there = releases.load(output)
        _require_whole(there)
        there.verify()
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{files.shown(output)}: exists and is not a release as it was built",
            details=f"{error.brief}\n{error.details}".rstrip(),
            hint=hint,
        ) from error


def _require_whole(release: Release) -> None:
    """ConfigurationError unless its folder holds the files that it names, and nothing else."""
    known = {releases.FILE, *release.files}
    with files.told(release.folder):
        found = {each.name: each for each in os.scandir(release.folder)}
    problems = [
        f"{files.shown(name)} is no part of the release there" for name in found.keys() - known
    ]
    problems += [
        f"{name} is not a file of its own"
        for name in known & found.keys()
        if not found[name].is_file(follow_symlinks=False)
    ]
    if problems:
        raise ConfigurationError.of(files.shown(release.folder), sorted(problems))


def _about(base: Path) -> dict[str, list[str]]:
    file = base.with_suffix(".json")
    hint = "it is made anew when it is deleted"
    return schema.from_json(dict[str, Any], files.read(file, hint=hint), what=file, hint=hint)


def _folder_hashes(folder: Path) -> dict[str, str]:
    """Relative path -> hash of content and executable bit, of everything below a folder; a symbolic
    link counts by its target's name, which means a file of the image and not one of this host."""
    found = {}
    for name, path in overlay.entries(folder):
        with files.told(path):
            if path.is_symlink():
                found[name] = f"l{path.readlink()}"
            elif path.is_file() and "__pycache__" not in path.parts:
                mode = "x" if overlay.executable(path) else "-"
                found[name] = mode + releases.digest(path).sha256
    return found


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
