"""Which parts by entry point have a say in what becomes of a release: what it names, and who made
it. One that is not the harness's own decides verdicts all the same, so evidence names it."""

from harness import plugins
from harness.plugins import UsedPart
from harness.product.release import Release


def of(*releases: Release) -> tuple[UsedPart, ...]:
    """The parts that these releases name, once each."""
    named = {each for release in releases for each in _named(release)}
    return tuple(part for group, name in sorted(named) for part in plugins.parts(group, name))


def _named(release: Release) -> list[tuple[str, str]]:
    """Group and name of each. A device that is driven from outside needs no client, and of a file
    the boot selection is read by what its profile names."""
    product = release.product
    reader = product.selection.reader if product.selection else product.bootloader
    client = [] if product.device else [(plugins.CLIENTS, product.client)]
    return [
        *client,
        (plugins.BUILDERS, release.builder),
        (plugins.ARTIFACTS, product.client),
        (plugins.BOOTLOADERS, product.bootloader),
        (plugins.SELECTIONS, reader),
    ]
