"""A target of a lab file with its stock resources and drivers, bound for the length of a block.

Its resources stand in the file, or in a place of a coordinator, which is then acquired before, and
given back after. Whatever labgrid raises meanwhile is trouble of the lab.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attr
from labgrid import Environment
from labgrid.exceptions import NoDriverFoundError, NoResourceFoundError

from harness import files
from harness.boards.hardware.place import LabPlace, held
from harness.boards.hardware.within import told
from harness.boards.lab_file import MUX, BoardOptions
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.log import emit

PLACE = "RemotePlace"
WAIT = 600.0  # seconds for a place, where the lab file does not say
_COORDINATOR = "127.0.0.1:20408"  # labgrid's own default
_SECRET = ("user", "password")  # of a resource


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetParts:
    """labgrid's drivers and resources of a board; none of them is activated but power and mux.
    `relay` and `port` say in words what they are."""

    power: Any
    serial: Any
    shell: Any
    mux: Any
    storage: Any
    service: Any
    relay: str
    port: str


@contextlib.contextmanager
def bound(
    environment: Environment, name: str, *, lab: Path, options: BoardOptions
) -> Iterator[tuple[Any, Callable[[], None]]]:
    """The labgrid target of a board, and what says whether it is still ours."""
    described = environment.config.get_targets()[name]
    found = _place_of(described.get("resources"))
    with contextlib.ExitStack() as stack:
        check: Callable[[], None] = _ours
        if found:
            place = LabPlace(coordinator_of(environment))
            stack.callback(place.close)
            wanted = "" if options.get("reserve") else str(found["name"])
            wait = options.get("wait", WAIT)
            place.acquire(wanted, options.get("reserve", {}), wait=wait)
            found["name"], check = place.name, place.check
            emit("place", board=name, place=place.name)
        with _labs(lab, name):
            target = environment.get_target(name)
        stack.callback(_let_go, target)
        yield target, check


def coordinator_of(environment: Environment) -> str:
    """Its address: the lab file's, the environment's, or labgrid's own."""
    default = os.environ.get("LG_COORDINATOR", _COORDINATOR)
    return str(environment.config.get_option("coordinator_address", default))


def places_held(environment: Environment, boards: Iterable[str]) -> dict[str, str]:
    """Of each of these boards that is a place of the coordinator: who has it, empty for nobody.
    LabError when the coordinator does not answer."""
    targets = environment.config.get_targets()
    found = {name: _place_of(targets[name].get("resources")) for name in boards}
    named = {board: str(place["name"]) for board, place in found.items() if place}
    if not named:
        return {}
    known = held(coordinator_of(environment))
    return {board: known.get(name, "no such place") for board, name in named.items()}


def parts_of(target: Any, board: str) -> TargetParts:
    """What the board is made of; ConfigurationError for one that lacks what every board has."""
    try:
        power = target.get_driver("PowerProtocol", activate=False)
        serial = target.get_driver("SerialDriver", activate=False)
        shell = target.get_driver("ShellDriver", activate=False)
        service = target.get_resource("NetworkService", wait_avail=False)
    except (NoDriverFoundError, NoResourceFoundError) as error:
        raise ConfigurationError(
            f"board {board}: {told(error)}",
            hint="a board has power, a SerialDriver, a ShellDriver and a NetworkService",
        ) from error
    mux = storage = None
    with contextlib.suppress(NoDriverFoundError):
        mux = target.get_driver(MUX, activate=False)
        storage = mux.mux
    activate(target, power)
    if mux:
        activate(target, mux)
    return TargetParts(
        power=power,
        serial=serial,
        shell=shell,
        mux=mux,
        storage=storage,
        service=service,
        relay=_words(getattr(power, "port", None) or power),
        port=_words(serial.port),
    )


def activate(target: Any, driver: Any) -> None:
    """Activate a driver, and with it what it stands on."""
    try:
        target.activate(driver)
    except HarnessError:
        raise
    except Exception as error:  # resources that are not there, ports that cannot be opened
        raise LabError(f"{target.name}: {type(driver).__name__}: {told(error)}") from error


def tell(file: Path, *, boots: int, console: Path, service: Any) -> None:
    """Where other processes find the running board: as `QemuDevice` tells it."""
    state = {
        "holder": os.getpid(),
        "ssh_host": service.address,
        "ssh_port": service.port,
        "boots": boots,
        "console": str(console),
    }
    files.write_whole(file, json.dumps(state).encode())


def _place_of(resources: Any) -> dict[str, Any] | None:
    """The arguments of its RemotePlace, to be changed in place; in either form of labgrid's."""
    for each in resources if isinstance(resources, list) else [resources or {}]:
        if PLACE in each:
            if not isinstance(each[PLACE], dict):
                raise ConfigurationError(f"{PLACE}: needs `name: PLACE`")
            each[PLACE].setdefault("name", "+")
            found: dict[str, Any] = each[PLACE]
            return found
    return None


def _ours() -> None:
    """A board on our own desk is."""


def _let_go(target: Any) -> None:
    with contextlib.suppress(Exception):  # what was there to be given back is gone
        target.cleanup()


def _words(thing: Any) -> str:
    """A resource or driver as `NetworkPowerPort model=rest host=... index=1`."""
    fields: dict[str, Any] = {}
    if attr.has(type(thing)):
        fields = attr.asdict(thing, recurse=False)
    shown = [
        f"{key}={value}"
        for key, value in fields.items()
        if isinstance(value, str | int | float)
        and value != ""
        and key not in (*_SECRET, "name", "state", "avail")
    ]
    return " ".join([type(thing).__name__, *shown])


@contextlib.contextmanager
def _labs(lab: Path, name: str) -> Iterator[None]:
    try:
        yield
    except HarnessError:
        raise
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        if type(error).__module__.startswith(("labgrid.config", "labgrid.exceptions", "yaml")):
            raise ConfigurationError(f"{files.shown(lab)}: board {name}: {told(error)}") from error
        raise LabError(f"{files.shown(lab)}: board {name}: {told(error)}") from error
