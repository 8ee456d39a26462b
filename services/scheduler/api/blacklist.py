"""``/v1/blacklist``: addresses that are let in nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_network

from pydantic import Field, IPvAnyAddress

from lalmesh.runtime.networks import IpAddress, parse_network, unmapped
from services.scheduler.api import Answer, ApiModel, ApiRole, Asked, Operation, Page, PageModel, PageQuery, ProblemError
from services.scheduler.api.sessions import MAX_REASON_CHARS
from services.scheduler.blacklisting import BlacklistFullError, Blacklisting, Listed

PATH = "/v1/blacklist"
ONE = f"{PATH}/{{network}}"
MAX_LASTS_S = 10 * 365 * 86_400  #: ten years: longer is for ever, which is 0


class BlacklistQuery(PageQuery):
    """Which networks are wanted."""

    address: IPvAnyAddress | None = Field(default=None, description="That hold this address.", examples=["192.0.2.7"])


class ListedModel(ApiModel):
    """A network from which nobody is let in."""

    network: str = Field(description="Address and length of its prefix.", examples=["192.0.2.7/32"])
    expires_us: int = Field(description="When it is let in again, Unix microseconds; 0: never.")
    created_us: int = Field(description="When it was put on the list, Unix microseconds.")
    reason: str = Field(description="Why, in the operator's words.")


class ListedBody(ApiModel):
    """For how long, and why."""

    lasts_s: int = Field(default=0, ge=0, le=MAX_LASTS_S, description="Seconds from now; 0: until it is taken off.")
    reason: str = Field(default="", max_length=MAX_REASON_CHARS, description="Why, for whoever reads the list.")


class NetworkParts(ApiModel):
    """Which network is meant."""

    network: str = Field(
        min_length=2,
        max_length=64,
        description="An address, or a network; the slash in it is written %2F.",
        examples=["192.0.2.0%2F24"],
    )


BlacklistPage = PageModel[ListedModel]


def operations(blacklisting: Blacklisting, wall_clock: Callable[[], float] = time.time) -> list[Operation]:
    """What can be asked of `blacklisting`."""

    async def list_networks(asked: Asked) -> Answer:
        listed = blacklisting.listed
        if listed is None:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the blacklist was not read yet")
        query: BlacklistQuery = asked.query
        if query.address is not None:
            holding = _holding(query.address)
            listed = [each for each in listed if each.network in holding]
        page = Page.of(listed, query)
        return Answer(body=page.answer(BlacklistPage, await asked.each(page.shown, _described)))

    async def put_network(asked: Asked) -> Answer:
        now_us, body = round(wall_clock() * 1_000_000), asked.body
        expires_us = now_us + body.lasts_s * 1_000_000 if body.lasts_s else 0
        listed = Listed(network=_network(asked), expires_us=expires_us, created_us=now_us, reason=body.reason)
        try:
            await blacklisting.put(listed)
        except BlacklistFullError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc
        return Answer(body=_described(listed))

    async def remove_network(asked: Asked) -> Answer:
        network = _network(asked)
        if not await blacklisting.remove(network):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"{network} is not on the blacklist")
        return Answer(status=HTTPStatus.NO_CONTENT)

    return [
        Operation(
            method="GET",
            path=PATH,
            tag="blacklist",
            summary="List the networks that nobody is let in from.",
            handler=list_networks,
            role=ApiRole.VIEWER,
            query=BlacklistQuery,
            answers={HTTPStatus.OK: BlacklistPage},
        ),
        Operation(
            method="PUT",
            path=ONE,
            tag="blacklist",
            summary="Let nobody in from an address or a network.",
            description="On any node and over any protocol. Sessions of clients there are ended. Said again, it lasts anew.",
            handler=put_network,
            role=ApiRole.OPERATOR,
            parts=NetworkParts,
            body=ListedBody,
            body_required=False,
            answers={HTTPStatus.OK: ListedModel},
            problems=frozenset({HTTPStatus.CONFLICT}),
        ),
        Operation(
            method="DELETE",
            path=ONE,
            tag="blacklist",
            summary="Let an address or a network in again.",
            description="The network as the list has it.",
            handler=remove_network,
            role=ApiRole.OPERATOR,
            parts=NetworkParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
    ]


def _holding(address: IpAddress) -> set[str]:
    """Every network that holds an address: fewer than a list may have, which is not to be parsed."""
    plain = unmapped(address)
    return {str(ip_network((plain, length), strict=False)) for length in range(plain.max_prefixlen + 1)}


def _network(asked: Asked) -> str:
    try:
        return str(parse_network(asked.path["network"]))
    except ValueError as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(exc), field="network") from exc


def _described(listed: Listed) -> ListedModel:
    return ListedModel(network=listed.network, expires_us=listed.expires_us, created_us=listed.created_us, reason=listed.reason)
