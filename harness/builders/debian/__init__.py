"""Debian packages, mmdebstrap, genimage: the embedded default."""
