"""Nobody else can talk to the workers of an exploration: not over the net, not on this machine."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask.config
import psutil  # type: ignore[import-untyped]
import pytest
from dask.distributed import Client
from distributed.security import Security

from harness.crash.exploration.cluster import connected
from harness.errors import ConfigurationError, LabError

# Another process: tries each address, with the certificate that it is given or with its own.
STRANGER = """
import asyncio, json, sys
from distributed.core import rpc
from distributed.security import Security

addresses, given = json.load(sys.stdin)
security = Security(require_encryption=True, **given) if given else Security.temporary()

async def reached(address):
    arguments = security.get_connection_args("client") if address.startswith("tls") else {}
    try:
        async with rpc(address, connection_args=arguments, timeout=5) as other:
            return bool(await asyncio.wait_for(other.identity(), 5))
    except (OSError, asyncio.TimeoutError):
        return False

async def main():
    return await asyncio.gather(*map(reached, addresses))

print(json.dumps(dict(zip(addresses, asyncio.run(main())))))
"""
TLS = ("ca_file", "client_cert", "client_key")


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    found = process.net_connections("inet")
    return {each.laddr[:2] for each in found if each.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[Client, set[tuple[str, int]]]]:
    """Workers of our own, and all that has been listening since they are there."""
    me = psutil.Process()
    before = listening(me)
    with connected("", jobs=2) as client:
        client.wait_for_workers(2)
        ours = [listening(child) for child in me.children(recursive=True)]
        yield client, set.union(listening(me) - before, *ours)


def reached(addresses: list[str], given: dict[str, str]) -> dict[str, bool]:
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps([addresses, given]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers: dict[str, bool] = json.loads(done.stdout)
    return answers


def test_it_listens_on_loopback_only(ports: tuple[Client, set[tuple[str, int]]]) -> None:
    assert len(ports[1]) >= 3  # the scheduler and two workers
    assert {address for address, _ in ports[1]} == {"127.0.0.1"}


def test_a_process_without_the_certificate_is_refused(
    ports: tuple[Client, set[tuple[str, int]]],
) -> None:
    client, found = ports
    addresses = [f"{way}://127.0.0.1:{port}" for _, port in found for way in ("tls", "tcp")]
    assert not any(reached(addresses, {}).values())
    own = {f"tls_{name}": getattr(client.security, f"tls_{name}") for name in TLS}
    workers = [client.scheduler_info()["address"], *client.scheduler_info()["workers"]]
    assert all(reached(workers, own).values())  # it is the certificate that made the difference


def test_no_page_is_served(ports: tuple[Client, set[tuple[str, int]]]) -> None:
    for _, port in ports[1]:
        for page in ("/", "/status", "/info/main/workers.html", "/json/counts.json", "/metrics"):
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                other.request("GET", page)
                assert other.getresponse().status == 404
            except (http.client.HTTPException, OSError):
                pass  # it speaks TLS
            finally:
                other.close()


@pytest.mark.parametrize(
    "address",
    [
        *("tcp://192.0.2.7:8786", "192.0.2.7:8786", "tcp://lab.example:8786", "tcp://[::]:8786"),
        *(
            "ws://127.0.0.1:8786",
            "tcp://0.0.0.0:8786",
            "inproc://192.0.2.7/1/1",
            "127.0.0.1.example:1",
        ),
    ],
)
def test_a_scheduler_that_is_open_to_others_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="could run code here") as caught:
        connected(address, jobs=1).__enter__()
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in caught.value.hint


def test_a_scheduler_with_tls_wants_a_certificate() -> None:
    with pytest.raises(ConfigurationError, match="no TLS ca_file, cert, key of a client"):
        connected("tls://192.0.2.7:8786", jobs=1).__enter__()


def test_a_scheduler_with_tls_is_used_as_dask_is_configured(
    ports: tuple[Client, set[tuple[str, int]]], tmp_path: Path
) -> None:
    security = ports[0].security
    names = dict(zip(TLS, ("ca-file", "client.cert", "client.key"), strict=True))
    config = {}
    for name, key in names.items():
        (tmp_path / name).write_text(getattr(security, f"tls_{name}"))
        config[f"distributed.comm.tls.{key}"] = str(tmp_path / name)
    address = ports[0].scheduler_info()["address"]
    with dask.config.set(config), connected(address, jobs=1) as client:
        assert client.submit(os.getpid).result() != os.getpid()
    (tmp_path / "ca_file").write_text(str(Security.temporary().tls_ca_file))
    with dask.config.set(config), pytest.raises(LabError, match="no Dask scheduler at"):
        connected(address, jobs=1).__enter__()
