"""What a device says of the site's data, for fake boards."""

from harness.judge.sentinel import sentinel


def untouched() -> str:
    """What a device says that has kept all of it."""
    modes = [(name, *each.told.split()[:2]) for name, each in sentinel().items()]
    lines = [
        f"{mode} 1 {' '.join(owner.split(':'))} 65536 Jan  1 00:00 {name}"
        for name, mode, owner in modes
    ]
    lines += [f"{e.told.split()[2]}  {name}" for name, e in sentinel().items() if e.content]
    return "\n".join(lines) + "\n"
