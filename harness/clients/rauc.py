"""RAUC, behind the gateway's own programs."""

import re

from harness.clients.gateway import GatewayClient


class RaucClient(GatewayClient):
    """A `Client` for boards whose image installs RAUC bundles."""

    def _errors(self, output: str) -> list[str]:
        return re.findall(r"LastError: *(.*)", output)
