"""What is under test, apart from who built it: how its devices update, boot and are judged."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict

from harness import schema
from harness.fields import Like, Line, Name
from harness.product.promises import Promises


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of a machine, as each of its releases has it."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    client: Name
    bootloader: Name
    compatible: Line  # what an update artifact must be made for; checked by the client
    promises: Promises = field(default_factory=Promises)
    # SHA-256 of the CA certificate of its update servers, if it names one.
    server_ca: Annotated[str, Like(r"([0-9a-f]{64})?")] = ""
    # How it is told what an installed slot holds. exact: it begins with the slot image, byte by
    # byte.
    oracle: Literal["exact"] = "exact"
