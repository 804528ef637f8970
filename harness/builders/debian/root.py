"""What makes a package base the root file system of one version: reduce it, then finish it.

A base is never changed: both run for every version and variant, in seconds.
"""

import fnmatch
import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.builders.debian import initramfs
from harness.builders.debian.artifacts import maker
from harness.builders.debian.kernel import Modules
from harness.builders.debian.recipe import FILE, Recipe, Signing, Variant
from harness.builders.debian.tree import Tree
from harness.errors import BuildError, ConfigurationError

_UNITS = "/etc/systemd/system"
_SELECTION = "/usr/sbin/boot-selection"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # where Debian's curl looks
_BLOCK = 128 * 1024  # bytes of file that mksquashfs compresses at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIdentity:
    """What tells one build of a recipe from another, and whom it trusts."""

    version: str
    variants: tuple[str, ...]
    key: Path  # public SSH key that may log in
    trusted: Signing  # whose updates are installed
    server_ca: Path | None = None  # whose update server is believed, beside Debian's CAs


def place_kernel(tree: Tree, recipe: Recipe) -> None:
    """The kernel lands at /boot/vmlinuz, its devicetree beside it."""
    kernels = [path for path in tree.paths() if path.startswith("/boot/vmlinuz-")]
    if len(kernels) != 1:
        raise BuildError(f"base.packages: one kernel is needed, found {kernels or 'none'}")
    content = tree.read(kernels[0])
    if recipe.kernel.compression == "gzip":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    tree.file("/boot/vmlinuz", content)
    tree.remove(kernels[0])
    if recipe.kernel.devicetree:
        tree.file(f"/boot/{Path(recipe.kernel.devicetree).name}", _devicetree(tree, recipe))


def _devicetree(tree: Tree, recipe: Recipe) -> bytes:
    """The kernel package's devicetree (Debian: /usr/lib/linux-image-<release>/<vendor>/)."""
    name = recipe.kernel.devicetree
    found = [p for p in tree.paths() if fnmatch.fnmatch(p, f"/usr/lib/linux-image-*/{name}")]
    if len(found) != 1:
        raise BuildError(f"kernel.devicetree: the base has {found or 'nothing'} called {name}")
    return tree.read(found[0])


def reduce(tree: Tree, recipe: Recipe) -> Modules:
    """Take out what the recipe does not want; returns the modules that the base's kernel had."""
    modules = Modules(tree)
    modules.keep([*recipe.kernel.modules, *(w.split()[0] for w in recipe.kernel.initramfs)])
    tree.prune(recipe.base.prune)
    return modules


def finish(
    tree: Tree, recipe: Recipe, variants: Sequence[Variant], identity: ImageIdentity
) -> None:
    """Add overlay, identity, access, units and variants."""
    marks = {
        b"@SIGNATURE@": recipe.disk.signature.encode(),
        b"@COMPATIBLE@": recipe.compatible.encode(),
    }
    for folder in recipe.overlay:
        tree.lay_over(folder, marks)
    _require_attempts(tree, recipe)
    _identify(tree, recipe, identity)
    _tell_apart(tree, identity)
    _let_in(tree, recipe, identity)
    _units(tree, recipe)
    for variant in variants:
        if variant.overlay:
            tree.lay_over(variant.overlay, marks)


def add_initramfs(
    tree: Tree, recipe: Recipe, variants: Sequence[Variant], modules: Modules
) -> None:
    """Add /boot/initrd.img, from the recipe's folders and then those of the variants."""
    folders = [*recipe.initramfs, *(v.initramfs for v in variants if v.initramfs)]
    image = initramfs.make(tree, modules, recipe.kernel.initramfs, folders)
    tree.file("/boot/initrd.img", image)


def take_out(tree: Tree, variants: Sequence[Variant]) -> None:
    """Remove what variants lack: last, of all that a slot holds."""
    for variant in variants:
        for path in variant.remove:
            tree.remove(path)


def _require_attempts(tree: Tree, recipe: Recipe) -> None:
    """ConfigurationError when the image's own program gives other attempts than are promised."""
    if _SELECTION not in tree:
        return
    found = re.search(r"^ATTEMPTS=([0-9]+)", tree.read(_SELECTION).decode(), re.MULTILINE)
    if found and int(found[1]) != recipe.promises.attempts:
        problem = f"promises.attempts: {recipe.promises.attempts}, but {_SELECTION} has {found[0]}"
        raise ConfigurationError.of(str(recipe.folder / FILE), [problem])


def _identify(tree: Tree, recipe: Recipe, identity: ImageIdentity) -> None:
    tree.file(
        "/etc/gateway-release",
        f"VERSION={identity.version}\nMACHINE={recipe.machine}\n"
        f"VARIANT={','.join(identity.variants)}\n",
    )
    tree.file("/etc/hostname", f"{recipe.machine}\n")
    tree.file("/etc/hosts", f"127.0.0.1 localhost {recipe.machine}\n")
    # Empty, not missing: systemd then takes a transient one instead of calling this a first boot.
    tree.file("/etc/machine-id", "", mode=0o444)
    for stamp in ("/etc/.updated", "/var/.updated"):
        # systemd-update-done.service(8): nothing to catch up on after an update.
        tree.file(stamp, f"TIMESTAMP_NSEC={tree.epoch}000000000\n")
    for folder in ("/data", "/dev", "/proc", "/run", "/sys", "/tmp"):  # noqa: S108
        tree.folder(folder)
    services = " ".join(recipe.health.services)
    tree.file(
        "/etc/gateway/health.conf", f'SERVICES="{services}"\nDEADLINE={recipe.health.deadline}\n'
    )


def _tell_apart(tree: Tree, identity: ImageIdentity) -> None:
    """Make the slot images of any two versions differ from their first block to their last.

    A squashfs packs compressed blocks without gaps, so a first block whose compressed length
    depends on the version moves everything behind it, as a real update does. Without it two
    versions of one base would differ in a few blocks, and half of one plus half of the other,
    which a power cut leaves behind, would often be one of them.
    """
    noise = hashlib.shake_256(f"{identity.version} {identity.variants}".encode())
    length = 8 * 1024 + int.from_bytes(noise.digest(2))  # 8 to 72 KiB that do not compress
    tree.file("/.image-id", noise.digest(length).ljust(_BLOCK, b"\0"))


def _let_in(tree: Tree, recipe: Recipe, identity: ImageIdentity) -> None:
    lines = tree.read("/etc/shadow").decode().splitlines()
    root = f"root:{recipe.login.root_password_hash}:19000:0:99999:7:::"
    kept = [line for line in lines if not line.startswith("root:")]
    tree.file("/etc/shadow", "\n".join([root, *kept]) + "\n", mode=0o640)
    tree.folder("/root/.ssh", mode=0o700)
    tree.file("/root/.ssh/authorized_keys", files.read(identity.key), mode=0o600)
    maker(recipe.client).trust(tree, recipe, identity.version, identity.trusted)
    if identity.server_ca:
        tree.file(_AUTHORITIES, tree.read(_AUTHORITIES) + files.read(identity.server_ca))


def _units(tree: Tree, recipe: Recipe) -> None:
    """Enable and mask units as systemctl would: links in /etc/systemd/system."""
    for unit in recipe.enable:
        target = _unit_file(tree, unit)
        for line in tree.read(target).decode().splitlines():
            key, _, value = line.partition("=")
            for wanted in value.split() if key in ("WantedBy", "RequiredBy") else ():
                kind = "wants" if key == "WantedBy" else "requires"
                tree.link(f"{_UNITS}/{wanted}.{kind}/{unit}", target)
    for unit in recipe.mask:
        if f"{_UNITS}/{unit}" in tree:
            tree.remove(f"{_UNITS}/{unit}")
        tree.link(f"{_UNITS}/{unit}", "/dev/null")


def _unit_file(tree: Tree, unit: str) -> str:
    name, at, rest = unit.partition("@")
    file = f"{name}@.{rest.rpartition('.')[2]}" if at else unit
    for folder in (_UNITS, "/usr/lib/systemd/system"):
        if f"{folder}/{file}" in tree:
            return f"{folder}/{file}"
    raise BuildError(f"enable: the image has no unit {unit}")
