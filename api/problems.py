"""Errors as the caller sees them: problem documents of RFC 9457, whatever part of the application they come from.

No detail repeats what the caller sent, and none holds a row's value.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}


class Problem(Exception):
    """An answer that is an error. `extra` become members of the document, `headers` are sent with it."""

    def __init__(
        self, status: int, title: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    @property
    def document(self) -> dict[str, Any]:
        """The document's members."""
        said = {"detail": self.detail} if self.detail else {}
        return {"type": "about:blank", "title": self.title, "status": self.status, **said, **self.extra}

    def response(self) -> Response:
        """The answer."""
        body = json.dumps(self.document, ensure_ascii=False).encode()
        return Response(body, self.status, {**NO_STORE, **self.headers}, MEDIA_TYPE)


def not_found(title: str, detail: str = "") -> Problem:
    """What is not there, or is not for this caller."""
    return Problem(404, title, detail)


def install(app: FastAPI) -> None:
    """Have all errors of an application leave in this form."""

    async def ours(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def of_the_framework(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != title else ""
        return Problem(error.status_code, title, detail, headers=error.headers).response()

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        return Problem(
            422, "The request is not valid", "; ".join(f"{w['where']}: {w['what']}" for w in wrong), errors=wrong
        ).response()

    async def unexpected(_request: Request, error: Exception) -> Response:
        logger.error("a request ended with a defect: please report it", exc_info=error)
        return Problem(500, "Internal error").response()

    app.add_exception_handler(Problem, ours)
    app.add_exception_handler(HTTPException, of_the_framework)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)
