"""Who plays a virtual board, asked what it gave it: over HTTP, at the address in the lab file.

A bench shows nothing of that: without the answer a board whose host had no time for it cannot be
told from one that hangs. So what a board does not do is no verdict where nobody answers.
"""

import http.client
from urllib.parse import urlsplit

from harness import schema
from harness.boards.lab_file import BoardOptions
from harness.boards.pulse import require_fed
from harness.boards.share import Fed, Share
from harness.errors import ConfigurationError, LabError

_ANSWER = 10.0  # seconds
_LARGEST = 1 << 20  # bytes
_HINT = "options.share: where the host of a virtual board says what it gave it"


class Player:
    """Asked about one board; what was before `begin` counts no more."""

    def __init__(self, board: str, options: BoardOptions) -> None:
        self._board = board
        self._virtual = options.get("virtual", False)
        self._url = options.get("share", "")
        self._before = Fed(boots=())

    def begin(self) -> None:
        """The board is flashed: its boots count from here on."""
        if self._url:
            self._before = self._asked()

    def share(self, *, boots: int) -> Share:
        """The worst that one of its boots got since; LabError when nobody can tell. `boots`: how
        many the board had. Nothing of a real board."""
        if not self._virtual:
            return Share()
        if not self._url:
            raise LabError(f"{self._board} is virtual, and nobody says what it got", hint=_HINT)
        now, known = self._asked(), len(self._before.boots)
        if now.trouble:
            raise LabError(f"{self._board} is not played any more: {now.trouble}")
        if now.short < self._before.short or len(now.boots) < known:
            raise LabError(f"{self._board}: what plays it has begun anew", hint=self._url)
        if boots and len(now.boots) == known:
            raise LabError(f"{self._url} knows of no boot of {self._board}", hint=_HINT)
        require_fed(self._board, "what plays it", now.short - self._before.short)
        return Share.worst(now.boots[known:])

    def _asked(self) -> Fed:
        where = urlsplit(self._url)
        connection = http.client.HTTPConnection(where.netloc, timeout=_ANSWER)
        try:
            connection.request("GET", where.path)
            answer = connection.getresponse()
            told = answer.read(_LARGEST)
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"{self._url} does not answer: {error}", hint=_HINT) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise LabError(f"{self._url} answers {answer.status} {answer.reason}", hint=_HINT)
        try:
            return schema.from_json(Fed, told, what=self._url)
        except ConfigurationError as error:
            raise LabError(error.brief, details=error.details, hint=_HINT) from error
