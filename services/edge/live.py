"""Settings of an edge that change while it runs. What is there already goes on as it began, but for limits and gathering."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.listener import Admission
from services.edge.fanout import FanOut
from services.edge.player import EdgeContext
from services.edge.rtsp_service import RtspService
from services.edge.settings import EdgeSettings


class Admitting(Protocol):
    """A listener, as far as it grants something."""

    admission: Admission


def apply_settings(
    settings: EdgeSettings, context: EdgeContext, listeners: Iterable[Admitting], cors: CorsPolicy, rtsp: RtspService | None
) -> None:
    """Let the parts of an edge go by `settings` from now on."""
    for listener in listeners:
        listener.admission.apply(settings.limits)
    cors.allow(settings.cors_origins)
    context.wait_publisher_s = settings.wait_publisher_s
    context.player_sndbuf_bytes = settings.player_sndbuf_bytes
    context.max_message_bytes = settings.max_message_bytes
    context.hevc = settings.hevc
    context.read_turns.settings = settings.read_turns
    publishers = context.publishers
    publishers.settings = settings.publication
    publishers.take_over = settings.take_over
    publishers.turn_s = settings.read_turns.longest_s
    publishers.claim_timeout_s = settings.claim_timeout_s
    publishers.delivery_s = settings.delivery_s
    context.relays.settings = settings.relay
    context.access.apply(settings.access)
    context.limits.apply(settings.access.limits)
    for relay in context.relays:
        for fanout in relay.fanouts:
            if isinstance(fanout, FanOut):  # others gather nothing
                fanout.settings = settings.relay.fanout
    if rtsp is not None and settings.rtsp is not None:
        rtsp.settings = settings.rtsp
        rtsp.silence_s = settings.limits.idle_timeout_s
