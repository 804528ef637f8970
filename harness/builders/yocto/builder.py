"""Releases of Yocto builds: of a kas project (`harness build --builder yocto`), or of a deploy
folder that some other build has left (`harness adopt`).

Another version of what was built here is another build; of an adopted one, bad versions are there
as far as its profile names them, like those of other finished images.
"""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import files, paths, project
from harness import version as versions
from harness.artifacts import payload
from harness.builders.builder import Ability
from harness.builders.debian import pki, tools
from harness.builders.finished import builder as finished
from harness.builders.finished.builder import (
    artifact,
    misdirected_artifact,
    server_ca,
    strange_artifact,
)
from harness.builders.yocto import adopt, built, host, kas, recipe, sources
from harness.builders.yocto.recipe import KasRecipe as RECIPE
from harness.errors import ConfigurationError
from harness.log import step
from harness.product import profile
from harness.product.release import Release

__all__ = [
    "RECIPE",
    "again",
    "artifact",
    "build",
    "lacks",
    "misdirected_artifact",
    "payload",
    "server_ca",
    "strange_artifact",
    "variants",
]


def build(
    source: Path, *, version: str, variants: Sequence[str] = (), output: Path | None = None
) -> Release:
    """The release of a folder with a yocto.yaml, built by kas. BitBake's own caches make the second
    one quick.

    Raises ConfigurationError for a wrong recipe, variant or version, LabError for what the machine
    lacks, BuildError with the log of the recipe that failed.
    """
    found = recipe.load(source)
    found.project(variants)  # or one line about a variant that is none
    if told := versions.problem(version):
        raise ConfigurationError(told, hint="it must be possible to put all versions in order")
    host.require(_folders(found).build)
    return built_by_kas(source, version=version, variants=variants, output=output)


def built_by_kas(
    source: Path, *, version: str, variants: Sequence[str] = (), output: Path | None = None
) -> Release:
    """The same, on a machine that has what it takes."""
    found = recipe.load(source)
    wanted, folders = found.project(variants), _folders(found)
    with tools.locked(folders.build):
        with step("kas build", project=wanted):
            kas.build(wanted, folders, _environment(found, version))
        machine = profile.load(found.product).machine
        target = output or folders.build.parent / "release"
        if not output and target.exists():
            shutil.rmtree(target)
        return adopt.adopt(
            folders.build / kas.BUILT / machine,
            adopt.Wanted(
                product=found.product,
                version=version,
                image=found.image,
                kas=wanted,
                recipe=project.told(source),
            ),
            output=target,
            variants=variants,
        )


def _folders(found: RECIPE) -> kas.Folders:
    """One build folder for a product, whatever its version: what is the same is built once."""
    place = paths.cache() / "yocto"
    own = place / profile.load(found.product).machine
    return kas.Folders(work=place / "layers", build=own / "build", log=own / "kas.log")


def _environment(found: RECIPE, version: str) -> dict[str, str]:
    """What kas hands on to BitBake (`env` in kas/base.yml)."""
    place = paths.cache() / "yocto"
    told = {"GATEWAY_VERSION": version}
    for name, folder in (("DL_DIR", "downloads"), ("SSTATE_DIR", "sstate-cache")):
        told[name] = os.environ.get(name) or str(files.make_folder(place / folder).resolve())
    if found.signing == "development":
        signer, key = pki.development(), pki.ssh_key()
        certificate = x509.load_pem_x509_certificate(files.read(signer.certificate))
        verify = signer.key.with_name("development.pub.pem")
        public = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        files.write_whole(verify, public)
        told |= {
            "GATEWAY_SIGNING_KEY": str(signer.key),
            "GATEWAY_SIGNING_CERTIFICATE": str(signer.certificate),
            "GATEWAY_KEYRING": str(signer.keyring),
            "GATEWAY_VERIFY_KEY": str(verify),
            "GATEWAY_AUTHORIZED_KEYS": str(key.with_suffix(".pub")),
        }
    return told


def _recipe_folder(made: built.Deployed) -> Path | None:
    """Where a release was built, if it was built here, and can be again."""
    folder = project.named(made.recipe) if made.recipe else None
    return folder if folder and (folder / recipe.FILE).exists() else None


def lacks(release: Release) -> Mapping[Ability, str]:
    """What takes the signing key of BitBake's build, and what takes a recipe that is not here."""
    made = built.of(release)
    found = dict(finished.lacking(made.folders))
    if _recipe_folder(made):
        for ability in (Ability.AGAIN, Ability.NEWER):
            found.pop(ability, None)
    return found


def variants(release: Release) -> Collection[str]:
    """Those of its yocto.yaml, or the adopted ones."""
    made = built.of(release)
    if folder := _recipe_folder(made):
        return recipe.load(folder).variants.keys()
    return finished.there(made.folders)


def again(
    release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
) -> Release:
    """Another version, built when it was built here. Refuses when kas files, lock or layers have
    changed since: it would be another product's version. `follows` asks for nothing: the project
    signs all that it builds with one key, and yocto.yaml knows no successor of it."""
    made = built.of(release)
    folder = _recipe_folder(made)
    if folder is None:
        return finished.adopted(release, made.folders, version=version, variants=variants)
    if sources.read(recipe.load(folder).project(release.variants)).inputs != made.inputs:
        raise ConfigurationError(
            f"{folder} does not build {release.version} as it was tested any more",
            hint="test from the checkout that the release was built from, or build it again",
        )
    return build(folder, version=version, variants=[*release.variants, *variants])
