"""Mender in standalone mode, behind the gateway's own programs."""

import re

from harness.clients.gateway import GatewayClient

# logrus' text format, for example: time="..." level=error msg="Reading headers failed: ..."
_ERROR = re.compile(r'level=(?:error|fatal) msg=("(?:[^"\\]|\\.)*"|\S+)')


class MenderClient(GatewayClient):
    """A `Client` for boards whose image installs Mender artifacts."""

    # It asks whether `fw_setenv` wants "name value" or "name=value" by trying the former, which
    # libubootenv takes for nothing to set and writes all the same (Mender 3.4
    # installer/bootenv.go, probeSeparator).
    idle_changes = 1

    def _errors(self, output: str) -> list[str]:
        return [_unquoted(found) for found in _ERROR.findall(output)]


def _unquoted(text: str) -> str:
    return text.strip('"').replace(r"\"", '"').replace(r"\n", " ")
