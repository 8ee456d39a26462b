"""``/v1/webhooks``: how it goes with receivers of events, and what they did not take."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from pydantic import Field

from lalmesh.runtime import telemetry
from lalmesh.runtime.api_tokens import ApiRole
from lalmesh.runtime.event_log import DeadLetter
from lalmesh.runtime.notify import NotifyFormat, Receiver
from services.scheduler.api._model import ApiModel
from services.scheduler.api._operation import Answer, Asked, Operation
from services.scheduler.api._problem import ProblemError
from services.scheduler.api.event_models import EventModel
from services.scheduler.event_hub import EventHub
from services.scheduler.notifying import DeliveryError, as_json, kind_of, message_of

PATH = "/v1/webhooks"
LETTERS = f"{PATH}/dead-letters"
MAX_LETTERS = 100  #: of one page
_ID = r"^[0-9]{1,16}-[0-9]{1,16}$"


class ReceiverModel(ApiModel):
    """A receiver of events, and how it goes with it at this replica."""

    name: str = Field(description="As it is configured.")
    format: NotifyFormat = Field(description="What it gets.")
    events: list[str] = Field(description="Kinds that it gets; empty: all that its format has.")
    signed: bool = Field(description="Whether what it gets is signed.")
    delivered: int = Field(description="Events that it took, since this replica was started.")
    failures: int = Field(description="Attempts that it did not, since then.")
    dead: int = Field(description="Events that were given up, since then.")
    lost: int = Field(description="Events that were trimmed before it had them, since then.")
    backlog: int = Field(description="Events that it has yet to get from the shards of this replica.")
    error: str = Field(description="Of the last attempt, where that failed.")
    failing_since: str | None = Field(description="When attempts began to fail, RFC 3339; null: the last one has not.")


class WebhooksModel(ApiModel):
    """Webhooks as one replica delivers them."""

    shards: list[int] = Field(description="Of 16, those that this replica delivers. Other replicas deliver the others.")
    dead_letters: int = Field(description="That are kept, of all receivers.")
    receivers: list[ReceiverModel] = Field(description="All that are configured.")


class LetterModel(ApiModel):
    """An event that a receiver did not take."""

    id: str = Field(description="Of the letter.")
    receiver: str = Field(description="Who did not take it.")
    given_up_at: str = Field(description="RFC 3339.")
    attempts: int = Field(description="How often it was tried.")
    error: str = Field(description="Of the last attempt.")
    event: EventModel = Field(description="What it says.")


class LettersModel(ApiModel):
    """Some dead letters, the oldest first."""

    items: list[LetterModel] = Field(description="Those of this page.")
    cursor: str = Field(description="What `after` goes on from; empty: there are no more.")


class LettersQuery(ApiModel):
    """Which dead letters are wanted."""

    after: str | None = Field(default=None, pattern=_ID, description="Behind this letter; by default from the first on.")
    limit: int = Field(default=MAX_LETTERS, ge=1, le=MAX_LETTERS, description="Most items of the page.")


class LetterParts(ApiModel):
    """Which dead letter is meant."""

    letter_id: str = Field(pattern=_ID, description="Its id.", examples=["1767225600000-3"])


class Webhooks:
    """The handlers."""

    def __init__(self, hub: EventHub) -> None:
        """Answer for `hub`."""
        self._hub = hub

    async def show(self, asked: Asked) -> Answer:
        """How it goes."""
        counts = await self._hub.log.counts()
        receivers = [self._receiver(receiver, counts) for receiver in self._hub.settings.delivery.receivers]
        dead = await self._hub.log.count_letters()
        return Answer(body=WebhooksModel(shards=self._hub.deliveries.shards, dead_letters=dead, receivers=receivers))

    async def letters(self, asked: Asked) -> Answer:
        """What was not taken."""
        query: LettersQuery = asked.query
        found = await self._hub.log.letters(query.after or "", query.limit + 1)
        shown = found[: query.limit]
        return Answer(body=LettersModel(items=list(map(_letter, shown)), cursor=shown[-1].id if len(found) > len(shown) else ""))

    async def retry(self, asked: Asked) -> Answer:
        """Try one again, now and once."""
        letter = await self._found(asked)
        receiver = next((each for each in self._hub.settings.delivery.receivers if each.name == letter.receiver), None)
        kind = kind_of(letter.event)
        url = receiver.url_of(kind) if receiver is not None and kind is not None else ""
        if receiver is None or self._hub.sink is None or not url:
            raise ProblemError(HTTPStatus.CONFLICT, f"{letter.receiver} gets no such event any more")
        message = message_of(letter.event, receiver.format, self._hub.about)
        try:
            with telemetry.within(letter.event.trace):
                await self._hub.sink.send(receiver, url, letter.event.id, message, letter.attempts + 1)
        except DeliveryError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, f"{letter.receiver} does not take it: {exc}") from exc
        await self._hub.log.forget_letter(letter.id)
        return Answer(status=HTTPStatus.NO_CONTENT)

    async def forget(self, asked: Asked) -> Answer:
        """It is not wanted any more."""
        letter = await self._found(asked)
        await self._hub.log.forget_letter(letter.id)
        return Answer(status=HTTPStatus.NO_CONTENT)

    async def _found(self, asked: Asked) -> DeadLetter:
        letter = await self._hub.log.letter(asked.path["letter_id"])
        if letter is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no such dead letter")
        return letter

    def _receiver(self, receiver: Receiver, counts: list[int]) -> ReceiverModel:
        state = self._hub.deliveries.states[receiver.name]
        kinds = receiver.kinds or (receiver.urls if not receiver.url else ())
        return ReceiverModel(
            name=receiver.name,
            format=receiver.format,
            events=sorted(kind.value for kind in kinds),
            signed=bool(receiver.secret),
            delivered=state.delivered,
            failures=state.failures,
            dead=state.dead,
            lost=state.lost,
            backlog=self._hub.deliveries.backlog(counts, receiver.name),
            error=state.error,
            failing_since=_time(state.failing_since_us) if state.failing_since_us else None,
        )


def operations(hub: EventHub) -> list[Operation]:
    """What can be asked of `hub`."""
    webhooks = Webhooks(hub)
    gone = frozenset({HTTPStatus.NOT_FOUND})
    return [
        Operation(
            method="GET",
            path=PATH,
            tag="webhooks",
            summary="Show how it goes with the receivers of events.",
            description="Counts are of the replica that answers: each delivers some of 16 shards of the events.",
            handler=webhooks.show,
            role=ApiRole.VIEWER,
            answers={HTTPStatus.OK: WebhooksModel},
        ),
        Operation(
            method="GET",
            path=LETTERS,
            tag="webhooks",
            summary="List dead letters.",
            description="Events that a receiver did not take for as long as they were tried, the oldest first.",
            handler=webhooks.letters,
            role=ApiRole.OPERATOR,
            query=LettersQuery,
            answers={HTTPStatus.OK: LettersModel},
        ),
        Operation(
            method="POST",
            path=f"{LETTERS}/{{letter_id}}/retry",
            tag="webhooks",
            summary="Send a dead letter once more.",
            description="Once, now, and not in the order of the events any more. It is forgotten if it was taken.",
            handler=webhooks.retry,
            role=ApiRole.OPERATOR,
            parts=LetterParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=gone | {HTTPStatus.CONFLICT},
        ),
        Operation(
            method="DELETE",
            path=f"{LETTERS}/{{letter_id}}",
            tag="webhooks",
            summary="Forget a dead letter.",
            handler=webhooks.forget,
            role=ApiRole.OPERATOR,
            parts=LetterParts,
            answers={HTTPStatus.NO_CONTENT: None},
            problems=gone,
        ),
    ]


def _letter(letter: DeadLetter) -> LetterModel:
    return LetterModel(
        id=letter.id,
        receiver=letter.receiver,
        given_up_at=_time(letter.at_us),
        attempts=letter.attempts,
        error=letter.error,
        event=EventModel(**as_json(letter.event)),
    )


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
