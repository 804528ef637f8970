"""What is under test, apart from who built it: how its devices update, boot and are judged."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict

from harness import schema
from harness.fields import Like, Line, Name
from harness.product.profile import DeviceCommands, SelectionSource, Slots
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
    # Of the certificate of who signs what its devices install, when that is another one than who
    # signed their own version (a key that was handed over).
    successor: Annotated[str, Like(r"([0-9a-f]{64})?")] = ""
    slots: Slots = field(default_factory=Slots)  # how it is told what an installed slot holds
    # Of a device without our programs; nothing: it has them (docs/device-contract.md).
    device: DeviceCommands | None = None
    selection: SelectionSource | None = None
    # Bad version -> what its console shows when it ran (a regular expression), where it is not what
    # our own images say.
    signs: dict[Name, str] = field(default_factory=dict)
