"""Data of a site's own that no update may touch: the same on every board."""

import hashlib
import random


def sentinel() -> dict[str, bytes]:
    """Name -> content of its files."""
    source = random.Random(20260101)  # noqa: S311 - content to recognize, not a secret
    return {f"{number}.bin": source.randbytes(64 * 1024) for number in range(4)}


def sums() -> str:
    """What sha256sum must print for them."""
    files = sentinel().items()
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files)
