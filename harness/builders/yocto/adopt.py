"""A deploy folder becomes a release: as finished images do, with what the build tells beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files, project, schema
from harness import version as versions
from harness.artifacts import opener
from harness.builders.finished.adopt import assemble, folders_of
from harness.builders.finished.images import Images
from harness.builders.yocto import deploy, sources
from harness.builders.yocto.built import Deployed
from harness.builders.yocto.deploy import Deploy
from harness.builders.yocto.sources import KasSources
from harness.errors import ConfigurationError
from harness.product import profile
from harness.product import release as releases
from harness.product.profile import Profile
from harness.product.release import Release

MANIFEST, SPDX = "packages.txt", "spdx.json"  # as they are called in a release


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a deploy folder may not say by itself."""

    product: Path  # product.yaml
    version: str = ""  # nothing: DISTRO_VERSION
    image: str = ""  # where there are several
    artifact: Path | None = None
    kas: str = ""  # files of the build's kas project, with colons between
    recipe: str = ""  # where it was built here


def adopt(folder: Path, wanted: Wanted, *, output: Path, variants: Sequence[str] = ()) -> Release:
    """Make a release in `output`, a folder that is not there yet or is empty. Raises
    ConfigurationError that names the file of the folder, or the key, that does not fit."""
    found = profile.load(wanted.product)
    read = deploy.read(
        folder,
        client=found.client,
        boot_selection=found.boot_selection.reader,
        image=wanted.image,
        artifact=wanted.artifact,
    )
    _require_same(read, found, wanted)
    slot = _slot(read, found)
    kept = {MANIFEST: read.manifest, **({SPDX: read.spdx} if read.spdx else {})}
    told = _sources(read, wanted.kas) if wanted.kas else None
    about = Deployed(
        recipe=wanted.recipe,
        image=read.image,
        distro=read.distro,
        profile=project.told(wanted.product),
        profile_sha256=releases.digest(wanted.product).sha256,
        kas=wanted.kas,
        inputs=told.inputs if told else "",
        sources=dict(told.commits) if told else {},
        variants=folders_of(found),
        source_date_epoch=read.epoch or None,
    )
    built = {key: value for key, value in schema.to_data(about).items() if value is not None}
    return assemble(
        Images(
            disk=read.disk,
            artifact=read.artifact,
            slot=slot,
            block_map=read.block_map,
            kept=kept,
            copies=read.copies,
        ),
        product=wanted.product,
        version=wanted.version or read.distro_version,
        variants=variants,
        output=output,
        built=built,
    )


def _require_same(read: Deploy, found: Profile, wanted: Wanted) -> None:
    """The folder is of the machine that the profile is of, and of the version that was built."""
    if wanted.recipe and wanted.version != read.distro_version:
        raise ConfigurationError(
            f"{files.shown(read.folder)}: was built as {read.distro_version}, not {wanted.version}",
            hint="the distro must take its version from the kas project (GATEWAY_VERSION)",
        )
    if read.machine != found.machine:
        raise ConfigurationError(
            f"{files.shown(read.folder / (read.stem + deploy.TOLD))}: MACHINE is {read.machine},"
            f" not {found.machine}",
            hint=f"{files.shown(wanted.product)} is for another machine (machine)",
        )
    if not wanted.version and (told := versions.problem(read.distro_version)):
        raise ConfigurationError(
            f"{files.shown(read.folder / (read.stem + deploy.TOLD))}: DISTRO_VERSION: {told}",
            hint="--version names one that can be put in order with others",
        )


def _sources(read: Deploy, project: str) -> KasSources:
    """What the kas project says, which must be for what was built."""
    told = sources.read(project)
    for key, here, there in (
        ("machine", told.machine, read.machine),
        ("distro", told.distro, read.distro),
    ):
        if here and here != there:
            raise ConfigurationError(
                f"{files.shown(project)}: {key}: {here}, and {files.shown(read.folder)}"
                f" is of {there}",
                hint="--kas names the project of this very build",
            )
    return told


def _slot(read: Deploy, found: Profile) -> Path:
    """Of the file systems in the folder, the one that the artifact installs; the first one when
    none is, which is told then."""
    if len(read.slots) == 1:
        return read.slots[0]
    largest = max(each.stat().st_size for each in read.slots)
    payload = opener(found.client).payload(read.artifact, limit=largest)
    sizes = [each for each in read.slots if each.stat().st_size == payload.size]
    same = [each for each in sizes if releases.digest(each) == payload]
    if not same:
        names = ", ".join(each.name for each in read.slots)
        raise ConfigurationError(
            f"{files.shown(read.artifact)}: installs none of {names}",
            hint="all of them must be of one build",
        )
    return same[0]
