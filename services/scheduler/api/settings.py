"""``/v1/settings``: what nodes do that can change while they run, set for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from lalmesh.runtime.config import ConfigError, api_catalogue
from lalmesh.runtime.scheduling import LiveSettings
from lalmesh.runtime.scheduling.control import MAX_LIVE_SETTINGS
from services.scheduler.api import Answer, ApiModel, ApiRole, Asked, FieldError, Operation, ProblemError
from services.scheduler.live_settings import (
    MAX_RECORD_BYTES,
    MadeSettings,
    SettingsConflictError,
    SettingsPart,
    SettingsTooLargeError,
)

PATH = "/v1/settings"
_ADMIN_NOTE = "They stand above the file, environment and command line of every node, at once and for nodes that come later."

SettingValue = StrictBool | StrictInt | StrictFloat | StrictStr | tuple[StrictStr, ...] | None


class SettingModel(ApiModel):
    """One key that can change while nodes run."""

    key: str = Field(description="Its path.", examples=["edge.play.gop_num"])
    value: SettingValue = Field(description="What was set over the API; null: nothing, so each node's own configuration holds.")
    default: SettingValue = Field(description="What holds where nobody says anything.")
    allowed: str = Field(description="What it takes, in words.")
    low: float | None = Field(description="Least number; null: none, or it is no number.")
    high: float | None = Field(description="Largest number.")
    description: str = Field(description="What it is for.")


class SettingsModel(ApiModel):
    """All of them."""

    revision: int = Field(ge=0, description="Rises with every change; 0: nothing was ever set.")
    settings: tuple[SettingModel, ...] = Field(description="Every key that can be set, in the order of the configuration.")
    unknown: tuple[str, ...] = Field(description="Keys that were set by a scheduler of another version; they change nothing here.")


class ChangeModel(ApiModel):
    """One key that is another than before."""

    key: str = Field(description="Its path.", examples=["edge.play.gop_num"])
    before: SettingValue = Field(description="What was in force, where a node is configured as this scheduler.")
    now: SettingValue = Field(description="What is.")


class ChangedSettingsModel(SettingsModel):
    """All of them, and what a request changed."""

    changed: tuple[ChangeModel, ...] = Field(
        description="What the request changed. A node that is configured so that it cannot be keeps what it had, and says so: "
        "lalmesh_settings_changes_total with the result refused, and its log."
    )


class SettingsBody(ApiModel):
    """What is to change."""

    values: dict[str, SettingValue] = Field(
        min_length=1,
        max_length=MAX_LIVE_SETTINGS,
        description="Values by the paths of their keys; null takes a setting back.",
        examples=[{"edge.play.gop_num": 2}],
    )
    revision: int | None = Field(
        default=None,
        ge=0,
        description="Of the settings that were looked at: refused where it is another now. Null: any.",
    )


def operations(part: SettingsPart) -> list[Operation]:
    """Reading and changing the settings of `part`."""

    async def show(asked: Asked) -> Answer:
        return Answer(body=_described(part.current))

    async def change(asked: Asked) -> Answer:
        body: SettingsBody = asked.body
        values = {path: list(value) if isinstance(value, tuple) else value for path, value in body.values.items()}
        try:
            return Answer(body=_made(await part.change(values, body.revision)))
        except ConfigError as exc:
            raise _refused(exc) from exc
        except SettingsConflictError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc), field="revision") from exc
        except SettingsTooLargeError as exc:
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(exc)) from exc

    async def clear(asked: Asked) -> Answer:
        return Answer(body=_made(await part.clear()))

    changes = {HTTPStatus.OK: ChangedSettingsModel}
    refused = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
    return [
        Operation(
            method="GET",
            path=PATH,
            tag="settings",
            summary="What can change while nodes run, and what was set.",
            handler=show,
            role=ApiRole.VIEWER,
            answers={HTTPStatus.OK: SettingsModel},
        ),
        Operation(
            method="PATCH",
            path=PATH,
            tag="settings",
            summary="Set keys, or take settings back.",
            description=_ADMIN_NOTE,
            handler=change,
            role=ApiRole.ADMIN,
            body=SettingsBody,
            max_body_bytes=MAX_RECORD_BYTES,
            answers=changes,
            problems=refused,
        ),
        Operation(
            method="DELETE",
            path=PATH,
            tag="settings",
            summary="Take all settings back.",
            description="What each node is configured to holds again.",
            handler=clear,
            role=ApiRole.ADMIN,
            answers=changes,
        ),
    ]


def _described(current: LiveSettings) -> SettingsModel:
    catalogue = api_catalogue()
    return SettingsModel(
        revision=current.revision,
        settings=tuple(
            SettingModel(
                key=path,
                value=_value(current.values.get(path)),
                default=_value(key.default),
                allowed=key.allowed,
                low=key.low,
                high=key.high,
                description=key.description,
            )
            for path, key in catalogue.items()
        ),
        unknown=tuple(sorted(current.values.keys() - catalogue.keys())),
    )


def _made(made: MadeSettings) -> ChangedSettingsModel:
    changed = tuple(ChangeModel(key=each.key.path, before=_value(each.before), now=_value(each.now)) for each in made.changed)
    return ChangedSettingsModel(**dict(_described(made.settings)), changed=changed)


def _value(value: object) -> SettingValue:
    match value:
        case bool() | int() | float() | str() | None:
            return value
        case list() | tuple():
            return tuple(map(str, value))
        case _:  # of a scheduler of another version
            return str(value)


def _refused(exc: ConfigError) -> ProblemError:
    errors: Sequence[FieldError] = [FieldError(field=f"values.{each.key}", detail=each.text) for each in exc.problems]
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "these settings cannot be made", errors=errors)
