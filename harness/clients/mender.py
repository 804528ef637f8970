"""Mender in standalone mode, behind the gateway's own programs."""

import re

from harness.clients.gateway import GatewayClient

# The line of an error, of the client in Go (3.4, logrus' text format) and of the one in C++
# (mender-update 4 and later, as seen of 5.0.0):
#   time="..." level=error msg="Reading headers failed: ..."
#   record_id=1 severity=error time="..." name="Global" msg="Signature verification Error: ..."
_ERROR = re.compile(
    r'(?:level|severity)=(?:error|fatal)(?: \w+=(?:"[^"]*"|\S+))*? msg=("(?:[^"\\]|\\.)*"|\S+)'
)


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
