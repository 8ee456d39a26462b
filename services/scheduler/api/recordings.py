"""``/v1/recordings``: rules of recording, to be listed, added and removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import (
    MAX_BYTES,
    MAX_FILE_S,
    MAX_PATTERN_BYTES,
    MAX_RULES,
    MAX_SECONDS,
    RecordFormat,
    RecordRule,
    RuleError,
    make_rule,
)
from services.scheduler.api import (
    MAX_STREAM_CHARS,
    Answer,
    ApiModel,
    ApiRole,
    Asked,
    Operation,
    Page,
    PageModel,
    PageQuery,
    ProblemError,
    named_stream,
)
from services.scheduler.recording_rules import RuleRecord
from services.scheduler.recordings import Recordings, TooManyRulesError, pattern_of

PATH = "/v1/recordings"
CONFIGURED = "config-"  #: what the ids of rules of the configuration begin with
_LIMITS = ("segment_s", "segment_bytes", "keep_s", "keep_bytes")

_SegmentS = Annotated[int, Field(ge=0, le=MAX_FILE_S, description=f"A new file after so many seconds; 0: {MAX_FILE_S}.")]
_SegmentBytes = Annotated[int, Field(ge=0, le=MAX_BYTES, description="A new file after so many bytes; 0: no bound.")]
_KeepS = Annotated[
    int,
    Field(
        ge=0, le=MAX_SECONDS, description="Files go so many seconds after they were stored, HLS segments after their end; 0: never."
    ),
]
_KeepBytes = Annotated[
    int, Field(ge=0, le=MAX_BYTES, description="The oldest files go where all of the rule have more bytes; 0: never.")
]


class RulesQuery(PageQuery):
    """Which rules are wanted."""

    source: Literal["config", "api"] | None = Field(default=None, description="From there only.")
    stream: str | None = Field(default=None, min_length=3, max_length=MAX_STREAM_CHARS, description="That match this stream.")


class RecordRuleBody(ApiModel):
    """What is to be recorded: one stream, or all that match a pattern."""

    stream: str | None = Field(
        default=None, max_length=MAX_STREAM_CHARS, description="Application and name of one.", examples=["live/cam"]
    )
    pattern: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PATTERN_BYTES,
        description="Of application and name, with *, ? and []; * also goes over slashes.",
        examples=["live/*"],
    )
    formats: list[RecordFormat] = Field(min_length=1, description="What it is recorded as.")
    segment_s: _SegmentS = 0
    segment_bytes: _SegmentBytes = 0
    keep_s: _KeepS = 0
    keep_bytes: _KeepBytes = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.stream is None) == (self.pattern is None):
            raise ValueError("either stream or pattern is needed")
        return self


class RecordRuleModel(ApiModel):
    """A rule of recording."""

    id: str = Field(description="What it is called.")
    source: Literal["config", "api"] = Field(description="Where it comes from; what the configuration says stays.")
    stream: str | None = Field(description="The one stream that it is for; null: it has a pattern.")
    created_us: int | None = Field(description="Unix microseconds at which it was added; null: of the configuration.")
    pattern: str = Field(description="What application and name have to match.")
    formats: list[RecordFormat] = Field(description="What it is recorded as.")
    segment_s: _SegmentS
    segment_bytes: _SegmentBytes
    keep_s: _KeepS
    keep_bytes: _KeepBytes


class RuleParts(ApiModel):
    """Which rule is meant."""

    id: str = Field(description="What it is called.")


RulePage = PageModel[RecordRuleModel]


def operations(recordings: Recordings) -> list[Operation]:
    """What can be asked of `recordings`."""
    face = _Face(recordings)
    tag, missing = "recordings", HTTPStatus.NOT_FOUND
    one = f"{PATH}/{{id}}"
    return [
        Operation(
            method="GET",
            path=PATH,
            tag=tag,
            summary="List the rules of recording.",
            description="In the order in which they are looked at: of several that match a stream, each format is recorded by the "
            "first that names it. Those of the configuration come first.",
            handler=face.list_rules,
            role=ApiRole.VIEWER,
            query=RulesQuery,
            answers={HTTPStatus.OK: RulePage},
        ),
        Operation(
            method="POST",
            path=PATH,
            tag=tag,
            summary="Add a rule of recording.",
            description=f"It holds until it is removed. There can be {MAX_RULES}.",
            handler=face.add_rule,
            role=ApiRole.OPERATOR,
            body=RecordRuleBody,
            answers={HTTPStatus.CREATED: RecordRuleModel},
            problems=frozenset({HTTPStatus.CONFLICT}),
        ),
        Operation(
            method="GET",
            path=one,
            tag=tag,
            summary="Show a rule of recording.",
            handler=face.show_rule,
            role=ApiRole.VIEWER,
            parts=RuleParts,
            answers={HTTPStatus.OK: RecordRuleModel},
            problems=frozenset({missing}),
        ),
        Operation(
            method="DELETE",
            path=one,
            tag=tag,
            summary="Remove a rule of recording.",
            description="One of the configuration goes when the configuration says so.",
            handler=face.remove_rule,
            role=ApiRole.OPERATOR,
            parts=RuleParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=frozenset({missing, HTTPStatus.CONFLICT}),
        ),
    ]


class _Face:
    """The handlers."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    async def list_rules(self, asked: Asked) -> Answer:
        """Every rule, a page at a time, in the order in which they are looked at."""
        query: RulesQuery = asked.query
        stream = named_stream(query.stream) if query.stream is not None else None
        known: list[RuleRecord | _Configured] = [] if query.source == "api" else [*_configured(self._recordings)]
        if query.source != "config":
            known += self._recordings.known.records()
        if stream is not None:
            known = await asked.those(known, lambda each: each.rule.matches(stream))
        page = Page.of(known, query)
        return Answer(body=page.answer(RulePage, await asked.each(page.shown, _describe)))

    async def show_rule(self, asked: Asked) -> Answer:
        """One rule."""
        rule_id = asked.path["id"]
        record = self._recordings.known.record(rule_id)
        found = record or next((each for each in _configured(self._recordings) if each.id == rule_id), None)
        if found is None:
            raise _unknown(rule_id)
        return Answer(body=_describe(found))

    async def add_rule(self, asked: Asked) -> Answer:
        """One more rule."""
        wanted = asked_rule(asked.body)
        try:
            record = await self._recordings.add(wanted.rule, wanted.stream)
        except TooManyRulesError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc
        return Answer(body=_describe(record), status=HTTPStatus.CREATED, headers={"Location": f"{PATH}/{record.id}"})

    async def remove_rule(self, asked: Asked) -> Answer:
        """One rule less."""
        rule_id = asked.path["id"]
        if rule_id.startswith(CONFIGURED):
            raise ProblemError(HTTPStatus.CONFLICT, "a rule of the configuration goes when the configuration says so")
        if not await self._recordings.remove(rule_id):
            raise _unknown(rule_id)
        return Answer(status=HTTPStatus.NO_CONTENT)


@dataclass(slots=True, frozen=True)
class AskedRule:
    """What is to be recorded."""

    rule: RecordRule
    stream: StreamKey | None  #: where it is one alone


def asked_rule(body: RecordRuleBody) -> AskedRule:
    """The rule in the body of a request.

    Raises:
        ProblemError: it is none.
    """
    try:
        key = named_stream(body.stream) if body.stream is not None else None
        limits = {name: getattr(body, name) for name in _LIMITS}
        pattern = pattern_of(key) if key else str(body.pattern)
        return AskedRule(make_rule(pattern, [made.value for made in body.formats], limits), key)
    except RuleError as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(exc), field=exc.field) from exc


def _unknown(rule_id: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"no rule {rule_id[:50]!r}")


class _Configured(NamedTuple):
    """A rule of the configuration."""

    id: str
    rule: RecordRule


def _configured(recordings: Recordings) -> Iterator[_Configured]:
    for number, rule in enumerate(recordings.known.configured):
        yield _Configured(f"{CONFIGURED}{number}", rule)


def _describe(record: RuleRecord | _Configured) -> RecordRuleModel:
    if isinstance(record, _Configured):
        return _described(record.id, record.rule, source="config")
    return _described(record.id, record.rule, source="api", stream=record.stream, created_us=record.created_us)


def _described(
    rule_id: str, rule: RecordRule, *, source: Literal["config", "api"], stream: str = "", created_us: int | None = None
) -> RecordRuleModel:
    limits = {name: getattr(rule, name) for name in _LIMITS}
    return RecordRuleModel(
        id=rule_id,
        source=source,
        stream=stream or None,
        created_us=created_us,
        pattern=rule.pattern,
        formats=[*rule.formats],
        **limits,
    )
