"""The HTTP API: operations with models, which check requests and which the OpenAPI document is made of."""

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, Tokens, hash_token
from services.scheduler.api._model import ApiModel, PageModel, PageQuery
from services.scheduler.api._operation import MAX_BODY_BYTES, Answer, Asked, Operation, parts
from services.scheduler.api._page import Page
from services.scheduler.api._permission import Permission
from services.scheduler.api._problem import FieldError, ProblemError, ProblemModel, problems
from services.scheduler.api._router import Api
from services.scheduler.api._settings import ApiSettings
from services.scheduler.api._stream import MAX_STREAM_CHARS, named_stream
from services.scheduler.api._turnstile import PART, Turnstile

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_STREAM_CHARS",
    "PART",
    "Answer",
    "Api",
    "ApiModel",
    "ApiRole",
    "ApiSettings",
    "ApiToken",
    "Asked",
    "FieldError",
    "Operation",
    "Page",
    "PageModel",
    "PageQuery",
    "Permission",
    "ProblemError",
    "ProblemModel",
    "Tokens",
    "Turnstile",
    "hash_token",
    "named_stream",
    "parts",
    "problems",
]
