"""U-Boot on an SD card: built from Debian's source package, its environment, its boot partition.

The environment is the boot selection: two checksummed copies in raw sectors in front of the first
partition (docs/boot-selection.md). The boot partition is a FAT file system with what the board's
own firmware loads; nothing on it is ever written after flashing.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from harness import paths, process
from harness.builders.debian import overlay, source, tools
from harness.builders.debian.recipe import EPOCH, Recipe, UBoot, Variant
from harness.errors import BuildError
from harness.log import step
from harness.product.layout import MIB, Piece, Region, slots_and_data

COMPRESSIONS: tuple[str, ...] = ("gzip", "lzo", "zstd")
# As CONFIG_ENV_OFFSET, CONFIG_ENV_OFFSET_REDUND and CONFIG_ENV_SIZE of the recipes, and as
# /etc/fw_env.config on the device.
FIRST = Region(1 * MIB, 64 * 1024)
SECOND = Region(2 * MIB, 64 * 1024)
BOOT = Region(4 * MIB, 60 * MIB)
PROGRAM = "u-boot.bin"
_CONFIG, _ENVIRONMENT, _HEADER = "config", "environment.txt", "board.h"


def regions(recipe: Recipe) -> dict[str, Region]:
    """Where everything is."""
    return {
        "boot-selection": Region(FIRST.offset, SECOND.offset + SECOND.length - FIRST.offset),
        "boot-selection-1": FIRST,
        "boot-selection-2": SECOND,
        "boot": BOOT,
        **slots_and_data(
            BOOT.offset + BOOT.length,
            slot_size=recipe.disk.slot_size,
            data_size=recipe.disk.data_size,
        ),
    }


def prepare(recipe: Recipe, variants: Sequence[Variant]) -> None:
    """Build U-Boot, if the cache does not have it."""
    program(recipe, variants)


def pieces(
    recipe: Recipe, variants: Sequence[Variant], files: dict[str, bytes], folder: Path
) -> list[Piece]:
    """Both copies of the environment, and the boot partition with U-Boot and `files`."""
    first, second = environment_copies(environment(recipe, variants), folder)
    content = dict(files)
    for place in [*recipe.boot, *(v.boot for v in variants if v.boot)]:
        content |= overlay.contents(place, where="the boot partition")
    content[PROGRAM] = program(recipe, variants).read_bytes()
    boot = boot_partition(content, recipe.disk.signature, folder)
    return [
        Piece("environment-1", first, FIRST),
        Piece("environment-2", second, SECOND),
        Piece("boot", boot, BOOT, kind="0x0c", bootable=True),
    ]


def program(recipe: Recipe, variants: Sequence[Variant]) -> Path:
    """u-boot.bin for a recipe and its variants, from the cache or built (half a minute).

    Raises BuildError when the source package cannot be had, or does not build.
    """
    wanted, folders = _wanted(recipe), _folders(recipe, variants)
    fragment = "".join(overlay.text(folder / _CONFIG) for folder in folders)
    header = "".join(overlay.text(folder / _HEADER) for folder in folders)
    text = environment(recipe, variants)
    key = source.key(wanted.source, recipe.base, fragment, header, text, _compiler(wanted))
    target = paths.cache() / "u-boot" / key / PROGRAM
    with tools.locked(target.parent):
        target.parent.mkdir(exist_ok=True)
        if not target.is_file():
            with step("u-boot", machine=recipe.machine):
                tree = source.unpacked(wanted.source, recipe.base)
                _build(tree, wanted, (fragment, header, text), target)
    return target


def environment(recipe: Recipe, variants: Sequence[Variant]) -> str:
    """U-Boot's environment as text, one sorted variable a line; later folders win.

    The same on the medium of a new device as built into U-Boot.
    """
    found: dict[str, str] = {}
    for folder in _folders(recipe, variants):
        for line in overlay.text(folder / _ENVIRONMENT).splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found[name] = value.replace("@SIGNATURE@", recipe.disk.signature)
    return "".join(f"{name}={value}\n" for name, value in sorted(found.items()))


def environment_copies(text: str, folder: Path) -> tuple[Path, Path]:
    """Both copies of an environment for a new device, as files in `folder`; the first counts."""
    (folder / _ENVIRONMENT).write_text(text, encoding="utf-8")
    first, second = folder / "environment-1", folder / "environment-2"
    for copy, serial in ((first, 1), (second, 0)):
        size = str(FIRST.length)
        argv = ["mkenvimage", "-r", "-s", size, "-o", str(copy), str(folder / _ENVIRONMENT)]
        process.run(argv, timeout=30, error=BuildError)
        with copy.open("r+b") as stream:
            stream.seek(4)  # behind the checksum, which does not cover it: the serial number
            stream.write(bytes([serial]))
    return first, second


def _build(tree: Path, wanted: UBoot, parts: tuple[str, str, str], target: Path) -> None:
    """Configure and make U-Boot in a folder of its own; `target` appears when it is complete."""
    fragment, header, text = parts
    log = target.with_suffix(".log")
    with source.scratch(target.parent, tree) as work:
        (work / "fragment").write_text(fragment, encoding="utf-8")
        (work / _ENVIRONMENT).write_text(text, encoding="utf-8")
        board = work / "include/configs/rpi.h"
        board.write_text(board.read_text(encoding="utf-8") + header, encoding="utf-8")
        _make(work, wanted, log, wanted.defconfig)
        process.run(
            [work / "scripts/kconfig/merge_config.sh", "-m", ".config", "fragment"],
            timeout=60,
            error=BuildError,
            log=log,
            cwd=work,
        )
        with (work / ".config").open("a", encoding="utf-8") as config:
            config.write(f'CONFIG_DEFAULT_ENV_FILE="{work / _ENVIRONMENT}"\n')
        _make(work, wanted, log, "olddefconfig")
        require_taken(fragment, (work / ".config").read_text(encoding="utf-8"))
        _make(work, wanted, log, PROGRAM)
        (work / PROGRAM).rename(target)


def _make(work: Path, wanted: UBoot, log: Path, goal: str) -> None:
    process.run(
        ["make", f"-j{os.cpu_count()}", "ARCH=arm", f"CROSS_COMPILE={wanted.compiler}", goal],
        timeout=900,
        error=BuildError,
        log=log,
        cwd=work,
        env={"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"},
    )


def require_taken(fragment: str, config: str) -> None:
    """Every option asked for must have been taken: Kconfig drops what it cannot satisfy."""
    taken = set(config.splitlines())
    named = {line.partition("=")[0] for line in taken}
    asked: dict[str, str] = {}  # option -> the last line about it: later folders win
    for line in fragment.splitlines():
        if line.startswith("CONFIG_") or line.endswith(" is not set"):
            asked[line.removeprefix("# ").partition("=")[0].partition(" ")[0]] = line
    dropped = [
        line
        for option, line in asked.items()
        if (option in named if line.startswith("# ") else line not in taken)
    ]
    if dropped:
        raise BuildError(
            f"u-boot.folder: {_CONFIG}: not taken by Kconfig: {'; '.join(dropped)}",
            hint="something that the option needs is missing, or its name has changed",
        )


def boot_partition(files: dict[str, bytes], signature: str, folder: Path) -> Path:
    """A FAT file system; the same files give the same bytes."""
    image = folder / "boot.vfat"
    with image.open("wb") as stream:
        stream.truncate(BOOT.length)
    argv = ["mkfs.vfat", "--invariant", "-i", signature, "-n", "BOOT", str(image)]
    process.run(argv, timeout=30, error=BuildError)
    root = folder / "boot"
    for name, content in sorted(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (EPOCH, EPOCH))
    names = sorted(path for path in root.iterdir())
    process.run(
        ["mcopy", "-s", "-m", "-Q", "-i", image, *names, "::/"],
        timeout=60,
        error=BuildError,
        env={"TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), "MTOOLS_SKIP_CHECK": "1"},
    )
    return image


def _wanted(recipe: Recipe) -> UBoot:
    if recipe.u_boot is None:
        raise BuildError("u-boot: the recipe does not say how it is built")
    return recipe.u_boot


def _folders(recipe: Recipe, variants: Sequence[Variant]) -> list[Path]:
    return [_wanted(recipe).folder, *(v.u_boot for v in variants if v.u_boot)]


def _compiler(wanted: UBoot) -> str:
    argv = [f"{wanted.compiler}gcc", "--version"]
    return process.run(argv, timeout=30, error=BuildError).stdout.partition("\n")[0]
