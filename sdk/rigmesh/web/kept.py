"""The files of the pages, kept in memory: a page needs a dozen, and is to be there at once."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["kept_files"]


def kept_files(folder: Path) -> Route:
    """Return a route to the files of a folder, as they are now.

    Parameters
    ----------
    folder : Path
        Its name is that of the route.
    """
    kept = {path.relative_to(folder).as_posix(): _response(path) for path in _files(folder)}

    async def serve(request: Request) -> Response:
        response = kept.get(request.path_params["path"])
        if response is None:
            raise HTTPException(404)
        if request.headers.get("If-None-Match") == response.headers["ETag"]:
            return Response(status_code=304, headers={"ETag": response.headers["ETag"]})
        return response

    return Route(f"/{folder.name}/{{path:path}}", serve)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _response(path: Path) -> Response:
    body = path.read_bytes()
    # Of who has it in a browser it is asked again, for the next version of rigmesh has others.
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    return Response(body, media_type=mimetypes.guess_type(path.name)[0], headers=headers)
