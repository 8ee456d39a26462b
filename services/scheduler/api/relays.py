"""``/v1/relays``: what is fetched from other servers and sent there, and the rules that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from lalmesh.errors import StreamExists
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.relay_rules import MAX_RULES, RelayRule, make_relay_rule
from services.scheduler.api import Answer, ApiRole, Asked, Operation, Page, PageModel, ProblemError, named_stream
from services.scheduler.api.relay_models import (
    RelayBody,
    RelayModel,
    RelayParts,
    RuleBody,
    RuleModel,
    options_of,
    relay_model,
    rule_model,
    rule_model_of,
)
from services.scheduler.api.relay_queries import RelayRulesQuery, RelaysQuery, wanted_relays, wanted_rules
from services.scheduler.records import NodeRecord
from services.scheduler.relay_records import CONFIGURED, RelayRecord
from services.scheduler.relays import MadeByRuleError, Relays, TooManyRelaysError

PATH = "/v1/relays"
RULES = f"{PATH}/rules"

RelayPage = PageModel[RelayModel]
RulePage = PageModel[RuleModel]


def operations(relays: Relays, nodes: Callable[[], Iterable[NodeRecord]]) -> list[Operation]:
    """What can be asked of `relays`; `nodes` gives the nodes of the cluster."""
    return [*_rule_operations(_RuleFace(relays)), *_relay_operations(_RelayFace(relays, nodes))]


def _relay_operations(face: _RelayFace) -> list[Operation]:
    tag, one = "relays", f"{PATH}/{{id}}"
    return [
        Operation(
            method="GET",
            path=PATH,
            tag=tag,
            summary="List relays.",
            description="By stream, those that fetch before those that send.",
            handler=face.list_relays,
            is_heavy=True,  # there may be 10,000 to look at
            role=ApiRole.VIEWER,
            query=RelaysQuery,
            answers={HTTPStatus.OK: RelayPage},
        ),
        Operation(
            method="POST",
            path=PATH,
            tag=tag,
            summary="Fetch a stream, or send one.",
            description="It goes on until it is ended, a pull also until nobody has watched for `stop_after_s`. A pull that was "
            "asked for before is replaced. A push begins when the stream is published, and each time that it is.",
            handler=face.add_relay,
            role=ApiRole.OPERATOR,
            body=RelayBody,
            answers={HTTPStatus.CREATED: RelayModel},
            problems=frozenset({HTTPStatus.CONFLICT}),
        ),
        Operation(
            method="GET",
            path=one,
            tag=tag,
            summary="Show a relay.",
            handler=face.show_relay,
            role=ApiRole.VIEWER,
            parts=RelayParts,
            answers={HTTPStatus.OK: RelayModel},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
        Operation(
            method="DELETE",
            path=one,
            tag=tag,
            summary="End a relay.",
            description="One that is by a rule ends with that.",
            handler=face.remove_relay,
            role=ApiRole.OPERATOR,
            parts=RelayParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}),
        ),
    ]


def _rule_operations(face: _RuleFace) -> list[Operation]:
    tag, one = "relays", f"{RULES}/{{id}}"
    return [
        Operation(
            method="GET",
            path=RULES,
            tag=tag,
            summary="List the rules of relays.",
            description="In the order in which they are looked at: a stream is fetched by the first that matches it, and sent by "
            "all. Those of the configuration come first.",
            handler=face.list_rules,
            role=ApiRole.VIEWER,
            query=RelayRulesQuery,
            answers={HTTPStatus.OK: RulePage},
        ),
        Operation(
            method="POST",
            path=RULES,
            tag=tag,
            summary="Add a rule of relays.",
            description=f"It holds until it is removed. There can be {MAX_RULES}.",
            handler=face.add_rule,
            role=ApiRole.OPERATOR,
            body=RuleBody,
            answers={HTTPStatus.CREATED: RuleModel},
            problems=frozenset({HTTPStatus.CONFLICT}),
        ),
        Operation(
            method="GET",
            path=one,
            tag=tag,
            summary="Show a rule of relays.",
            handler=face.show_rule,
            role=ApiRole.VIEWER,
            parts=RelayParts,
            answers={HTTPStatus.OK: RuleModel},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
        Operation(
            method="DELETE",
            path=one,
            tag=tag,
            summary="Remove a rule of relays.",
            description="The relays that are by it end. One of the configuration goes when the configuration says so.",
            handler=face.remove_rule,
            role=ApiRole.OPERATOR,
            parts=RelayParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}),
        ),
    ]


class _RelayFace:
    """The handlers of relays."""

    def __init__(self, relays: Relays, nodes: Callable[[], Iterable[NodeRecord]]) -> None:
        self._relays = relays
        self._nodes = nodes

    async def list_relays(self, asked: Asked) -> Answer:
        """Every relay, a page at a time."""
        page = Page.of(wanted_relays(self._relays, asked.query, self._nodes()), asked.query)
        return Answer(body=page.answer(RelayPage, await asked.each(self._relays.shown(page.shown), relay_model)))

    async def show_relay(self, asked: Asked) -> Answer:
        """One relay."""
        return Answer(body=relay_model(self._relays.show(self._found(asked))))

    async def add_relay(self, asked: Asked) -> Answer:
        """One more relay."""
        record = await self._made(asked.body)
        headers = {"Location": f"{PATH}/{record.id}"}
        return Answer(body=relay_model(self._relays.show(record)), status=HTTPStatus.CREATED, headers=headers)

    async def remove_relay(self, asked: Asked) -> Answer:
        """One relay less."""
        try:
            await self._relays.stop(self._found(asked))
        except MadeByRuleError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc
        return Answer(status=HTTPStatus.NO_CONTENT)

    async def _made(self, body: RelayBody) -> RelayRecord:
        try:
            stream, options = named_stream(body.stream), options_of(body)
            if body.kind == "pull":
                return await self._relays.start_pull(stream, body.urls, options=options, stop_after_s=body.stop_after_s)
            if len(body.urls) != 1:
                raise ProblemError(HTTPStatus.BAD_REQUEST, "a push has one target", field="urls")
            return await self._relays.start_push(stream, body.urls[0], options=options)
        except RuleError as exc:
            raise ProblemError(HTTPStatus.BAD_REQUEST, str(exc), field=exc.field) from exc
        except (StreamExists, TooManyRelaysError) as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc

    def _found(self, asked: Asked) -> RelayRecord:
        record = self._relays.known.relay(asked.path["id"])
        if record is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"no relay {asked.path['id'][:50]!r}")
        return record


class _RuleFace:
    """The handlers of rules."""

    def __init__(self, relays: Relays) -> None:
        self._relays = relays

    async def list_rules(self, asked: Asked) -> Answer:
        """Every rule, a page at a time, in the order in which they are looked at."""
        page = Page.of(wanted_rules(self._relays, asked.query), asked.query)
        return Answer(body=page.answer(RulePage, await asked.each(page.shown, lambda each: self._rule(*each))))

    async def show_rule(self, asked: Asked) -> Answer:
        """One rule."""
        rule = self._relays.known.rule(asked.path["id"])
        if rule is None:
            raise _unknown_rule(asked)
        return Answer(body=self._rule(asked.path["id"], rule))

    async def add_rule(self, asked: Asked) -> Answer:
        """One more rule."""
        try:
            record = await self._relays.add_rule(asked_rule(asked.body))
        except TooManyRelaysError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc
        headers = {"Location": f"{RULES}/{record.id}"}
        return Answer(body=rule_model_of(record), status=HTTPStatus.CREATED, headers=headers)

    async def remove_rule(self, asked: Asked) -> Answer:
        """One rule less."""
        if asked.path["id"].startswith(CONFIGURED):
            raise ProblemError(HTTPStatus.CONFLICT, "a rule of the configuration goes when the configuration says so")
        if not await self._relays.remove_rule(asked.path["id"]):
            raise _unknown_rule(asked)
        return Answer(status=HTTPStatus.NO_CONTENT)

    def _rule(self, rule_id: str, rule: RelayRule) -> RuleModel:
        record = self._relays.known.rule_record(rule_id)
        return rule_model_of(record) if record is not None else rule_model(rule_id, rule, "config", None)


def asked_rule(body: RuleBody) -> RelayRule:
    """The rule in the body of a request.

    Raises:
        ProblemError: it is none.
    """
    try:
        return make_relay_rule(
            is_push=body.kind == "push",
            pattern=body.pattern,
            urls=body.urls,
            on_demand=body.on_demand,
            stop_after_s=body.stop_after_s,
            options=options_of(body),
        )
    except RuleError as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(exc), field=exc.field) from exc


def _unknown_rule(asked: Asked) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"no rule {asked.path['id'][:50]!r}")
