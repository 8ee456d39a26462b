"""Events as the API shows them: in general, and of each kind with what it says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import ConfigDict, Field, create_model

from lalmesh.runtime.event_kinds import KINDS, EventKind, Fact
from services.scheduler.api._model import ApiModel


class EventModel(ApiModel):
    """An event, as webhooks have it."""

    id: str = Field(description="The same each time that it comes.")
    event: str = Field(description="Its kind.")
    at: str = Field(description="When it happened, RFC 3339.")
    node: str = Field(description="Where it happened.")
    stream: dict[str, str] | None = Field(description="That it is about: app and name; null: none.")
    data: Mapping[str, Any] = Field(description="What the kind has to say.")


class DataModel(ApiModel):
    """What events of a kind say. A node of a later version may say more."""

    model_config = ConfigDict(extra="allow")


def _of_kind(kind: EventKind) -> type[EventModel]:
    spec = KINDS[kind]
    name = "".join(word.capitalize() for word in kind.value.split("_"))
    facts: Any = {fact_name: _field(fact) for fact_name, fact in spec.facts.items()}
    data = create_model(f"{name}Data", __base__=DataModel, __doc__=f"What `{kind.value}` says.", **facts)
    fields: Any = {
        "event": (Literal[kind.value], Field(description="Its kind.")),
        "data": (data, Field(description="What it says.")),
    }
    return create_model(f"{name}Event", __base__=EventModel, __doc__=spec.text, **fields)


def _field(fact: Fact) -> tuple[Any, Any]:
    text = f"{fact.text[:1].upper()}{fact.text[1:]}."
    if fact.is_optional:
        return fact.json_type, Field(default_factory=fact.json_type, description=text)  # left out where it is not said
    return fact.json_type, Field(description=text)


@cache  # they take 0.1 s to make, and no request needs them
def event_models() -> Mapping[str, type[EventModel]]:
    """Events of each kind."""
    return {kind.value: _of_kind(kind) for kind in KINDS}
