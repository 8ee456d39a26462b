"""Fuzz: the state of a playlist as another worker left it in storage, with fields changed; what is accepted comes back."""

import json
from collections.abc import Iterator
from typing import Any

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.hls import Part, PlaylistWindow, render_media

MAX_CHANGES = 4


def a_state() -> Any:
    window = PlaylistWindow(target_duration_s=2, first_number=1, list_size=3, part_target=45_000)
    window.begin_segment(program_date_time_us=1, map_uri="1.2-init0.mp4")
    window.add_part(Part("1.2-1.0.m4s", 45_000))
    window.end_segment("1.2-1.m4s", 45_000)
    return window.to_state()


def a_value(given: atheris.FuzzedDataProvider) -> object:
    match given.ConsumeIntInRange(0, 6):
        case 0:
            return given.PickValueInList([None, True, False, 1.5])
        case 1:
            return given.ConsumeInt(9)
        case 2:
            return given.ConsumeIntInRange(-1, 90_000)
        case 3:
            return [{}, given.ConsumeIntInRange(0, 3)]
        case 4:
            return a_state()["segments"] * given.ConsumeIntInRange(0, 3)
        case 5:
            return {given.ConsumeUnicode(3): None}
        case _:
            return given.ConsumeUnicode(20)


def objects(value: Any) -> Iterator[dict[str, object]]:
    """`value` and all that is in it, as far as they are objects with a field to change."""
    if isinstance(value, dict) and value:
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def target(data: bytes) -> None:
    given = atheris.FuzzedDataProvider(data)
    state = a_state()
    for _ in range(given.ConsumeIntInRange(0, MAX_CHANGES)):
        changed = given.PickValueInList(list(objects(state)))
        changed[given.PickValueInList(sorted(changed))] = a_value(given)
    window = PlaylistWindow.from_state(state)
    render_media(window.playlist)
    assert PlaylistWindow.from_state(json.loads(json.dumps(window.to_state()))).playlist == window.playlist


fuzz(target)
