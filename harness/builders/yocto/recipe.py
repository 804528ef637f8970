"""yocto.yaml: how a machine's images are built by kas, and what they are as a product.

    kas: ../../yocto-layers/kas/rpi4.yml
    image: gateway-image
    product: product.yaml
    variants:
      kernel-panic: ../../yocto-layers/kas/variants/kernel-panic.yml

Paths are relative to its folder. Keys are in docs/yocto.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from harness import files, schema
from harness.errors import ConfigurationError
from harness.fields import ExistingFile, FileName, Name

FILE = "yocto.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class KasRecipe:
    """All of yocto.yaml."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    kas: ExistingFile
    image: FileName
    product: ExistingFile
    # Whose key signs update artifacts: the harness's own, or what the environment names
    # (GATEWAY_SIGNING_KEY, a file or a PKCS #11 URI, and the others of kas/base.yml).
    signing: Literal["development", "environment"] = "development"
    variants: dict[Name, ExistingFile] = field(default_factory=dict)

    def project(self, variants: Sequence[str]) -> str:
        """kas' files, with colons between; ConfigurationError for a variant that is none."""
        if unknown := [name for name in variants if name not in self.variants]:
            raise ConfigurationError(
                f"{FILE}: variants.{unknown[0]}: there is none for this machine",
                hint=f"there are {', '.join(sorted(self.variants)) or 'none at all'}",
            )
        return ":".join(map(str, [self.kas, *(self.variants[name] for name in variants)]))


def load(folder: Path) -> KasRecipe:
    """Read a folder's yocto.yaml; ConfigurationError with all that is wrong in it."""
    path = folder / FILE
    text = files.text(path, hint="docs/yocto.md explains the file")
    return schema.from_yaml(KasRecipe, text, what=path, context=folder)
