"""``/v1/tokens``: which tokens of the API there are; ``/v1/whoami``: who asks. Neither they nor their hashes are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import Field

from lalmesh.runtime.api_tokens import ApiRole, ApiToken
from services.scheduler.api import Answer, ApiModel, Asked, Operation, Page, PageModel, PageQuery


class TokenModel(ApiModel):
    """A token of the API."""

    name: str = Field(description="What it is called.")
    role: Literal["viewer", "operator", "admin"] = Field(description="What it may; each may what those before it may.")
    expires_s: int | None = Field(description="Unix seconds from which it is worth nothing; null: never.")
    is_over: bool = Field(description="Whether it is worth nothing any more.")
    is_own: bool = Field(description="Whether it is the one that asks.")


class OwnTokenModel(ApiModel):
    """Who asks."""

    name: str = Field(description="Of the token that was shown; empty: none, or one that is worth nothing.")
    role: Literal["anybody", "viewer", "operator", "admin"] = Field(
        description="What it may; each may what those before it may. Where there are no tokens, a program on this machine is admin."
    )
    tokens: bool = Field(description="Whether there are tokens at all.")


TokenPage = PageModel[TokenModel]


def operations(tokens: Callable[[], Sequence[ApiToken]]) -> list[Operation]:
    """What can be asked of the tokens that `tokens` gives."""

    async def list_tokens(asked: Asked) -> Answer:
        page = Page.of(tokens(), asked.query)
        return Answer(body=page.answer(TokenPage, [_described(token, asked.token) for token in page.shown]))

    async def show_own(asked: Asked) -> Answer:
        role: Any = asked.role.name.lower()
        return Answer(body=OwnTokenModel(name=asked.token, role=role, tokens=bool(tokens())))

    return [
        Operation(
            method="GET",
            path="/v1/whoami",
            tag="tokens",
            summary="Show what the token that is shown may do.",
            handler=show_own,
            role=ApiRole.ANYBODY,
            answers={HTTPStatus.OK: OwnTokenModel},
        ),
        Operation(
            method="GET",
            path="/v1/tokens",
            tag="tokens",
            summary="List the tokens of this API.",
            description="Those of the configuration of the scheduler that answers: tokens come and go with it.",
            handler=list_tokens,
            role=ApiRole.ADMIN,
            query=PageQuery,
            answers={HTTPStatus.OK: TokenPage},
        ),
    ]


def _described(token: ApiToken, own: str) -> TokenModel:
    return TokenModel(
        name=token.name,
        role=token.role.name.lower(),  # type: ignore[arg-type]  # ANYBODY has no token
        expires_s=token.expires_s,
        is_over=token.is_over(time.time()),
        is_own=token.name == own,
    )
