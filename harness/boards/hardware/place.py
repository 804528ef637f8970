"""A place of a shared lab: reserved, acquired under a name of this run's own, and given back.

labgrid's coordinator keeps a place for its user until that user releases it, whatever becomes of
the user's process. So the name that we acquire under tells host and process, and a place whose
process is dead is given back by the next run on that host.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
from labgrid.remote.client import ClientSession, ensure_event_loop
from labgrid.remote.common import Reservation, ReservationState
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.resource.common import ResourceManager
from labgrid.resource.remote import RemotePlaceManager
from labgrid.util.proxy import proxymanager

from harness.boards.hardware.within import told
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.log import WAITING, emit, step

_ANSWER = 20.0  # seconds for the coordinator
_PORT = 20408  # labgrid's own
_POLL = 1.0  # seconds between two looks at a place that another has
_USER = "harness"


def own_user(pid: int = 0) -> str:
    """The name that this run (or the process `pid`) acquires under: process and when it began, so
    that another process with its number is another user."""
    number = pid or os.getpid()
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return f"{_USER}-{number}-{fields[19]}"


def is_dead(user: str) -> bool:
    """Whether a user of ours on this host is a process that has ended."""
    words = user.split("-")
    if len(words) != 3 or words[0] != _USER or not words[1].isdigit():
        return False
    try:
        return own_user(int(words[1])) != user
    except OSError:
        return True


class LabPlace:
    """A place of a coordinator, ours between `acquire` and `release`."""

    def __init__(self, coordinator: str) -> None:
        self.name = ""
        self._coordinator = coordinator
        self._token = ""
        self._host = os.environ.setdefault("LG_HOSTNAME", socket.gethostname())
        os.environ["LG_USERNAME"] = own_user()
        self._session = self._asked(lambda: _session(coordinator))
        # By which targets get their resources: a second session of one process, over the same
        # connection, is none to the coordinator.
        manager = RemotePlaceManager.get()
        manager.session, manager.loop = self._session, self._session.loop

    def acquire(self, name: str, tags: Mapping[str, str], *, wait: float) -> None:
        """Get the place `name`, or any with these tags, waiting `wait` seconds for one that others
        have. LabError when they do not give it back."""
        self._release_left()
        if not tags and name not in self._session.places:
            raise ConfigurationError(
                f"the coordinator {self._coordinator} has no place {name!r}",
                hint=f"it has: {', '.join(sorted(self._session.places)) or 'none'}",
            )
        filters = dict(tags) or {"name": name}
        if not (found := self._matching(filters)):
            wanted = " ".join(f"{key}={value}" for key, value in filters.items())
            raise ConfigurationError(f"no place of {self._coordinator} is {wanted}")
        with step("acquire place", place=name or str(tags)):
            self.name = self._reserved(filters, found, wait)
            self._grant()

    def release(self) -> None:
        """Give it back; no effect when it is not ours any more."""
        name, self.name = self.name, ""
        if name:
            request = messages.ReleasePlaceRequest(placename=name, fromuser=self._me)
            self._call("ReleasePlace", request)
        if self._token:
            token, self._token = self._token, ""
            self._call("CancelReservation", messages.CancelReservationRequest(token=token))

    def close(self) -> None:
        """Give back what is ours, and hang up; a coordinator that has gone has forgotten us."""
        try:
            self.release()
        except LabError as error:
            emit("place not released", place=self.name, why=error.brief)
        finally:
            ResourceManager.instances.pop(RemotePlaceManager, None)
            self._asked(lambda: _hang_up(self._session))

    def check(self) -> None:
        """LabError when the place is not ours any more, or a resource of it has gone."""
        if not self._session.stopping.is_set():
            self._run(self._session.sync_with_coordinator())
        place = self._session.places.get(self.name)
        if self._session.stopping.is_set() or place is None or place.acquired != self._me:
            raise LabError(
                f"place {self.name} is not ours any more",
                details=f"acquired: {getattr(place, 'acquired', None) or 'by nobody'}",
                hint="has the coordinator been restarted, or has somebody released it?",
            )
        for exporter, group, _, name in place.acquired_resources:
            entry = self._session.resources.get(exporter, {}).get(group, {}).get(name)
            if entry is None or not entry.data.get("cls") or not entry.avail:
                raise LabError(
                    f"place {self.name}: its resource {exporter}/{group}/{name} has gone",
                    hint="is its exporter running?",
                )

    @property
    def _me(self) -> str:
        return f"{self._host}/{own_user()}"

    def _matching(self, filters: Mapping[str, str]) -> list[Any]:
        wanted = filters.items()
        places = self._session.places.values()
        return [each for each in places if wanted <= {**each.tags, "name": each.name}.items()]

    def _release_left(self) -> None:
        """Places that runs of ours on this host have left when they were killed."""
        for place in list(self._session.places.values()):
            host, _, user = (place.acquired or "").partition("/")
            if host == self._host and is_dead(user):
                emit("release left place", place=place.name, user=user)
                request = messages.ReleasePlaceRequest(
                    placename=place.name, fromuser=place.acquired
                )
                self._call("ReleasePlace", request)

    def _reserved(self, filters: Mapping[str, str], places: list[Any], wait: float) -> str:
        """The place that the coordinator allocates to us: those who wait get it in their turn."""
        wanted = messages.Reservation.Filter(filter=dict(filters))
        request = messages.CreateReservationRequest(filters={"main": wanted}, prio=0.0)
        reservation = Reservation.from_pb2(self._call("CreateReservation", request).reservation)
        self._token = reservation.token
        until, said, pause = time.monotonic() + wait, "", threading.Event()
        while reservation.state is not ReservationState.allocated:
            if reservation.state is not ReservationState.waiting:
                raise LabError(f"the reservation has become {reservation.state.name}")
            if (now := _held(places)) != said:
                said = now
                emit(WAITING, why=said)
            if time.monotonic() > until:
                raise LabError(
                    f"no place within {wait:g} s: {said}", hint="options.wait waits longer"
                )
            pause.wait(_POLL)
            poll = messages.PollReservationRequest(token=self._token)
            reservation = Reservation.from_pb2(self._call("PollReservation", poll).reservation)
        return str(reservation.allocations["main"][0])

    def _grant(self) -> None:
        self._call("AcquirePlace", messages.AcquirePlaceRequest(placename=self.name))
        self._run(self._session.sync_with_coordinator())

    def _call(self, name: str, request: Any) -> Any:
        return self._run(getattr(self._session.stub, name)(request))

    def _run(self, call: Any) -> Any:
        async def answer() -> Any:
            return await asyncio.wait_for(call, _ANSWER)

        return self._asked(lambda: self._session.loop.run_until_complete(answer()))

    def _asked(self, call: Callable[[], Any]) -> Any:
        """The coordinator's answer; all that labgrid and gRPC raise for none is one LabError."""
        return _asked(self._coordinator, call)


def _asked(coordinator: str, call: Callable[[], Any]) -> Any:
    """As `LabPlace._asked`."""
    try:
        return call()
    except HarnessError:
        raise
    except TimeoutError as error:
        raise LabError(f"coordinator {coordinator}: no answer within {_ANSWER:g} s") from error
    except grpc.aio.AioRpcError as error:
        raise LabError(
            f"coordinator {coordinator}: {error.details() or error.code().name}"
        ) from error
    except Exception as error:  # labgrid's have no root in common
        raise LabError(f"coordinator {coordinator}: {told(error)}") from error


def _session(coordinator: str) -> Any:
    """A session with a coordinator that answers: labgrid's `start_session`, which waits for ever
    for one that hangs."""
    loop = ensure_event_loop()
    session = ClientSession(proxymanager.get_grpc_address(coordinator, default_port=_PORT), loop)
    try:
        loop.run_until_complete(asyncio.wait_for(session.start(), _ANSWER))
    except BaseException:
        with contextlib.suppress(Exception):  # what has not begun cannot be ended well
            _hang_up(session)
        raise
    return session


def held(coordinator: str) -> dict[str, str]:
    """The places of a coordinator, and of each who has it, empty: nobody. LabError when it does not
    answer. Not for a process that has a place: a second session of one is none."""
    session = _asked(coordinator, lambda: _session(coordinator))
    try:
        places = session.places.values()
        return {each.name: _held_by(each) if each.acquired else "" for each in places}
    finally:
        _hang_up(session)


def _hang_up(session: Any) -> None:
    for end in (session.stop, session.close):
        session.loop.run_until_complete(asyncio.wait_for(end(), _ANSWER))


def _held(places: list[Any]) -> str:
    """Who has places, since when."""
    return "; ".join(map(_held_by, places))


def _held_by(place: Any) -> str:
    if not place.acquired:
        return f"{place.name} is reserved"
    since = time.strftime("%H:%M", time.localtime(place.changed))
    return f"{place.name} is in use by {place.acquired}, since {since}"
