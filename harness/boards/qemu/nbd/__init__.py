"""The medium of a QEMU board: nbdkit serves it, with a volatile cache that can be lost."""
