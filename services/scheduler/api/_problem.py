"""What is answered to a request that is refused: a problem (RFC 9457)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field

from lalmesh.errors import Unavailable
from services.scheduler.api._model import ApiModel

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1.0  #: where nobody says when another try may do


class FieldError(ApiModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Its name; parts of nested ones joined with dots. Empty: the body as a whole.")
    detail: str = Field(description="What is wrong with it.")


class ProblemModel(ApiModel):
    """A problem (RFC 9457)."""

    type: str = Field(default="about:blank", description="about:blank: the status says it all.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The status of the answer.", ge=400, le=599)
    detail: str = Field(description="What is wrong this time.")
    field: str | None = Field(default=None, description="The first field that is wrong, where some are.")
    errors: tuple[FieldError, ...] | None = Field(default=None, description="Every field that is wrong, where some are.")


class ProblemError(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        field: str = "",
        retry_after_s: float = 0,
        errors: Sequence[FieldError] = (),
        allow: Sequence[str] = (),
    ) -> None:
        """Keep what the problem says.

        Args:
            status: of the answer.
            detail: what is wrong.
            field: of the request that it is about; empty: none.
            retry_after_s: when another try may do; 0: not known.
            errors: every field that is wrong, where they are several.
            allow: methods that there are, where the one asked for is none of them.
        """
        self.status = status
        self.detail = detail
        self.errors = tuple(errors) or ((FieldError(field=field, detail=detail),) if field else ())
        self.retry_after_s = retry_after_s or (RETRY_S if status is HTTPStatus.SERVICE_UNAVAILABLE else 0)
        self.allow = tuple(allow)
        super().__init__(detail)

    @property
    def field(self) -> str:
        """The first field that is wrong, empty where none is."""
        return self.errors[0].field if self.errors else ""

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside its body."""
        headers = {"Retry-After": str(math.ceil(self.retry_after_s))} if self.retry_after_s else {}
        if self.allow:
            headers["Allow"] = ", ".join(self.allow)
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §11.6.1, RFC 6750 §3
        return headers

    def answer(self) -> web.Response:
        """The problem as it is sent."""
        model = ProblemModel(
            title=self.status.phrase,
            status=self.status.value,
            detail=self.detail,
            field=self.field or None,
            errors=self.errors or None,
        )
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **self.headers}
        text = model.model_dump_json(exclude_none=True)
        return web.Response(text=text, status=self.status.value, content_type=MEDIA_TYPE, headers=headers)


def problem_of(exc: Exception, request: web.Request) -> ProblemError:
    """What is answered to a request that `exc` ended. Of a bug of ours the caller learns that there is one, the log which."""
    match exc:
        case ProblemError():
            return exc
        case Unavailable():
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), retry_after_s=exc.retry_after_s)
        case web.HTTPException():
            allowed = exc.headers.get("Allow", "")
            return ProblemError(HTTPStatus(exc.status), exc.reason, allow=allowed.split(",") if allowed else ())
        case _:
            log.error("%s %s failed", request.method, request.path, exc_info=exc)
            return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed on this side")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what goes wrong as ``application/problem+json``."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return problem_of(exc, request).answer()
    except Exception as exc:
        return problem_of(exc, request).answer()
