"""A board that QEMU plays: processes, power, console, saved states, and its medium (nbd/)."""
