"""Answers of an update server that HTTP allows, or that somebody gives in its name."""

from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

PAGE = "<html>Welcome!</html>\n"
_PIECE = 64 << 10  # bytes
_INVERTED = bytes(range(255, -1, -1))


def page(request: web.Request, *, ranges: bool) -> web.Response:
    """What a portal says; with `ranges` it is a file to it like any other."""
    if not ranges:
        return web.Response(text=PAGE, content_type="text/html")
    length, first, headers = len(PAGE), request.http_range.start, {"ETag": '"page"'}
    if first is None:
        return web.Response(text=PAGE, content_type="text/html", headers=headers)
    if first >= length:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{length}"})
    headers["Content-Range"] = f"bytes {first}-{length - 1}/{length}"
    return web.Response(status=206, text=PAGE[first:], content_type="text/html", headers=headers)


async def chunked(request: web.Request, path: Path) -> web.StreamResponse:
    """A file of which nobody is told how long it is."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    response.force_close()
    await response.prepare(request)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            await response.write(piece)
    await response.write_eof()
    return response


def another(content: bytes) -> bytes:
    """A file that is as long, and the same in its first quarter."""
    quarter = len(content) // 4
    return content[:quarter] + content[quarter:].translate(_INVERTED)


async def half(request: web.Request, content: bytes, tag: str) -> web.StreamResponse:
    """An answer that ends in its middle, as when the server is started anew."""
    response = web.StreamResponse(headers={"ETag": tag, "Accept-Ranges": "bytes"})
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    if request.transport:
        request.transport.close()
    return response


async def endless(request: web.Request, content: bytes, tag: str) -> web.StreamResponse:
    """All that was asked for, but nobody is told that this was the end."""
    first = request.http_range.start or 0
    headers = {"ETag": tag, "Accept-Ranges": "bytes"}
    if first:
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
    response = web.StreamResponse(status=206 if first else 200, headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(content[first:])
    if request.transport:
        request.transport.close()
    return response


def etag(path: Path) -> str:
    """As aiohttp makes it."""
    seen = path.stat()
    return f'"{seen.st_mtime_ns:x}-{seen.st_size:x}"'


class FileAnswer(web.FileResponse):
    """A file, of which a range is sent to who has the rest of this very one (RFC 9110, 13.1.5).

    aiohttp sends the range to whoever asks with an ETag, even of another file. Without `ranges` it
    is always the whole file.
    """

    def __init__(self, path: Path, *, ranges: bool) -> None:
        super().__init__(path)
        self._ranges = ranges

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Answer; see aiohttp."""
        asked = request.headers.get("If-Range", "")
        other = asked.endswith('"') and asked != etag(self._path)
        if other or not self._ranges:
            kept = [(name, each) for name, each in request.headers.items() if name != "Range"]
            request = request.clone(headers=CIMultiDict(kept))
        return await super().prepare(request)
