"""Workers for the boots of an exploration: processes of our own, or those of a Dask scheduler.

Whoever can talk to a Dask scheduler or worker runs code as its user, and a port on loopback is open
to every user of the machine and to QEMU's guests. So our own processes talk TLS, both ways, with a
certificate that is made for the run and that others cannot read, listen on 127.0.0.1 only, and
serve no web pages. A scheduler elsewhere must have TLS, too; its certificates are Dask's own
configuration.
"""

import contextlib
import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

import dask.config
from dask.distributed import Client, LocalCluster
from distributed.security import Security

from harness.errors import ConfigurationError, LabError

_SECONDS = 20  # to reach a scheduler
_NO_PAGES: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
_TLS = "DASK_DISTRIBUTED__COMM__TLS__"  # docs.dask.org: Configuration, distributed.comm.tls
TLS_HINT = (
    f"set {_TLS}CA_FILE, {_TLS}CLIENT__CERT and {_TLS}CLIENT__KEY, and start `dask scheduler "
    "--protocol tls` and `dask worker` with --tls-ca-file, --tls-cert and --tls-key (docs/crash.md)"
)


@contextlib.contextmanager
def connected(scheduler: str, *, jobs: int) -> Iterator[Client]:
    """A client of a scheduler; of none, of `jobs` processes of our own, one boot at a time each.

    ConfigurationError when others could talk to that scheduler, LabError when it is not there.
    """
    with contextlib.ExitStack() as stack:
        if not scheduler:
            yield stack.enter_context(_own(jobs))
            return
        security = _security(scheduler)
        try:
            client = Client(scheduler, timeout=_SECONDS, security=security)
        except (TimeoutError, OSError) as error:
            raise LabError(
                f"no Dask scheduler at {scheduler}: {error}",
                hint="start one with `dask scheduler`, and workers with `dask worker ADDRESS "
                f"--nthreads 1` in this project's environment; {TLS_HINT}",
            ) from error
        yield stack.enter_context(client)


@contextlib.contextmanager
def _own(jobs: int) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_NO_PAGES))
        security = Security.temporary()
        cluster = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address=None,
            # Its port is there all the same, and by default the same one for every run.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
        )
        stack.callback(_close, cluster)
        client = Client(cluster, timeout=_SECONDS, security=security)
        stack.callback(_close, client)
        yield client


def _close(what: LocalCluster | Client) -> None:
    """What has no time to end ends with this process; its work is done."""
    with contextlib.suppress(TimeoutError):
        what.close()


def _security(scheduler: str) -> Security:
    """What Dask's configuration says of TLS; ConfigurationError when that is not enough."""
    parts = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    security = Security()
    if parts.scheme == "tls":
        told = security.get_tls_config_for_role("client")
        if missing := [name for name in ("ca_file", "cert", "key") if not told[name]]:
            raise ConfigurationError(
                f"{scheduler}: Dask has no TLS {', '.join(missing)} of a client", hint=TLS_HINT
            )
    elif parts.scheme != "tcp" or not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            f"{scheduler}: anybody who reaches it could run code here and on its workers",
            hint=f"use a scheduler with TLS, tls://HOST:PORT: {TLS_HINT}",
        )
    return security


def _is_loopback(host: str) -> bool:
    """Names are not looked up: who answers for them may change."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
