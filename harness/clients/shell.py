"""A device that is asked in shell commands over `Board.run`: what all such clients have in common.

An installation runs apart from the SSH connection that began it, so that it neither dies with it
nor needs one; its process id, output and exit code are files in /run, which no reboot survives.
"""

from harness.boards.board import Board, CommandResult
from harness.errors import DeviceError

RUN = "/run/harness-install"  # .pid, .log, and at the end .code
SHORT = 60.0  # seconds for a command that only reads or starts something

# One that runs keeps its log.
BUSY = '{ echo "an installation is running" >&2; exit 1; }'
# Gives it ten seconds to appear. Ends with the installation, also with one that was killed: then
# there is no code, and `cat` fails.
_WAIT = (
    f"n=0; until [ -e {RUN}.log ] || [ $n -ge 20 ]; do sleep 0.5; n=$((n + 1)); done; "
    f"while [ ! -e {RUN}.code ] && read -r pid <{RUN}.pid && kill -0 $pid; do sleep 0.5; done; "
    f"cat {RUN}.code {RUN}.log"
)


def kept(command: str) -> str:
    """A script that runs an installation's `command` and leaves what `wait` looks for. `mv`, so
    that who sees the code sees all of it and of the log."""
    return (
        f"echo $$ >{RUN}.pid; {command} >{RUN}.log 2>&1; "
        f"echo $? >{RUN}.code.new; mv {RUN}.code.new {RUN}.code"
    )


class DeviceShell:
    """The shell of one board's device. DeviceError when it cannot be reached, or does not answer
    in time, as `Board.run` has it."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def _do(self, command: str, timeout: float) -> CommandResult:
        """Run a command that must succeed."""
        result = self._board.run(command, timeout=timeout)
        if result.returncode != 0:
            raise DeviceError(
                f"{self._board.name}: command failed with exit code {result.returncode}",
                details=f"$ {command}\n{result.stdout}{result.stderr}"[-2000:],
            )
        return result

    def _installed(self, timeout: float) -> tuple[int, str]:
        """Wait for the end of an installation: its exit code, and all that it has said."""
        output = self._do(_WAIT, timeout).stdout
        code, _, log = output.partition("\n")
        if not code.isdecimal():
            raise self._nonsense("the exit code of its installation", output)
        return int(code), log

    def _nonsense(self, what: str, output: str) -> DeviceError:
        return DeviceError(f"{self._board.name} does not say {what}", details=output[-2000:])
