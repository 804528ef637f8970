"""The medium: a QEMU board's storage, served by nbdkit, with a volatile cache that can be lost."""
