"""Traces by stream and by session, in Tempo or in Jaeger."""

from __future__ import annotations

from lalmesh.runtime.telemetry.names import SERVICE_NAME, SPANS, Attribute, SpanName
from tools.dashboards.grafana import PER_SECOND, PROMETHEUS, Column, Dashboard, Panel, Query, Row, Search, Source, Text, warn_at
from tools.dashboards.parts import NAMESPACE, NAMESPACES, WINDOW

TEMPO = Source("tempo", "tempo", "Tempo")
JAEGER = Source("jaeger", "jaeger", "Jaeger")
LIMIT = 50  #: traces of a table
ROOT = "/d/lalmesh-traces?${datasource:queryparam}&${tempo:queryparam}&${jaeger:queryparam}&${__url_time_range}"
#: Where a click on a value leads: to all of that stream, or of that session.
CLICKS = {
    Attribute.STREAM: f"{ROOT}&var-stream=${{__value.raw:percentencode}}",
    Attribute.SESSION: f"{ROOT}&var-stream=.*&var-session=${{__value.raw:percentencode}}",
}
NODE = "resource.service.instance.id"
FIRST_FRAMES = (SpanName.FIRST_FRAME, SpanName.HLS_FIRST_FRAME)
PLAYS = (SpanName.PLAY, SpanName.HLS_PLAY)


def _span(attribute: Attribute) -> str:
    return f"span.{attribute.value}"


def _named(*names: SpanName) -> str:
    found = " || ".join(f'name = "{name.value}"' for name in names)
    return f"({found})" if len(names) > 1 else found


OF_STREAM = f'{_span(Attribute.STREAM)} =~ "$stream"'
OF_SESSION = f'{_span(Attribute.SESSION)} = "$session"'


def _tempo(names: tuple[SpanName, ...], *conditions: str) -> Search:
    """Spans of these names for which all conditions hold, with what they say."""
    told = dict.fromkeys(attribute for name in names for attribute in SPANS[name].attributes)
    columns = ", ".join([*(_span(attribute) for attribute in told), NODE])
    query = f"{{ {' && '.join([_named(*names), *conditions])} }} | select({columns})"
    return Search({"queryType": "traceql", "query": query, "limit": LIMIT, "tableType": "spans", "filters": []})


def _jaeger(name: SpanName, tags: str = "", least: str = "") -> Search:
    """Traces with a span of this name, with these tags."""
    service = SERVICE_NAME.format(role=SPANS[name].role)
    asked = {"queryType": "search", "service": service, "operation": name.value, "tags": tags, "limit": LIMIT}
    return Search({**asked, "minDuration": least} if least else asked)


def _table(title: str, about: str, search: Search, source: Source = TEMPO, width: int = 24) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=[search],
        kind="table",
        source=source,
        width=width,
        clicks=[Column(attribute.value, attribute.value, url=url) for attribute, url in CLICKS.items()],
    )


SENT = Row(
    "Are there all?",
    (
        Panel(
            title="Spans",
            about="That collectors took, and that were lost since the queue was full or the collector did not take them, a second.",
            queries=[
                Query(f"sum(rate(telemetry_exported_spans_total{{{NAMESPACE}}}[{WINDOW}]))", "taken"),
                Query(f"sum by (reason) (rate(telemetry_lost_spans_total{{{NAMESPACE}}}[{WINDOW}]))", "lost: {{reason}}"),
            ],
            unit=PER_SECOND,
            width=16,
            height=6,
            runbook="spans-lost",
        ),
        Panel(
            title="Spans that wait",
            about="Of the process that has most; what is over telemetry.traces.queue_num is lost.",
            queries=[Query(f"max(telemetry_waiting_spans{{{NAMESPACE}}})")],
            kind="stat",
            width=8,
            height=6,
            steps=warn_at(1000, 2000),
            runbook="spans-lost",
        ),
    ),
)
TEMPO_STREAM = Row(
    "Tempo: by stream",
    (
        _table(
            "Publications",
            "One trace each: claim, links, first units, players' first frames and segments are in it. A click on a span opens it.",
            _tempo((SpanName.PUBLISH,), OF_STREAM),
        ),
        _table(
            "Publications that were refused or failed",
            "The status says why.",
            _tempo((SpanName.PUBLISH,), OF_STREAM, "status = error"),
            width=12,
        ),
        _table(
            "Claims that were not granted",
            "What schedulers said: `lalmesh.result`.",
            _tempo((SpanName.SCHEDULER_CLAIM,), OF_STREAM, f'{_span(Attribute.RESULT)} != "granted"'),
            width=12,
        ),
        _table(
            "Failovers",
            "Publications that an edge opened at an heir: their origin was lost.",
            _tempo((SpanName.LINK_PUBLISH,), OF_STREAM, f"{_span(Attribute.HEIR)} = true"),
            width=12,
        ),
        _table(
            "Edges that began to play it",
            "From when an edge looked for it, or it began, to its first unit there.",
            _tempo((SpanName.RELAY,), OF_STREAM),
            width=12,
        ),
        _table(
            "Slow first frames",
            "Players that waited longer than `Slow` for their first media; who waits for a publisher is among them.",
            _tempo(FIRST_FRAMES, OF_STREAM, "duration > $slow"),
        ),
        _table(
            "Slow segments",
            "From a segment's first unit until it was in storage: its duration, and what is more is lag.",
            _tempo((SpanName.SEGMENT,), OF_STREAM, "duration > $slow"),
            width=12,
        ),
        _table(
            "Events that a receiver took late",
            "From what happened until the receiver has taken it.",
            _tempo((SpanName.WEBHOOK,), OF_STREAM, "duration > $slow"),
            width=12,
        ),
    ),
)
TEMPO_SESSION = Row(
    "Tempo: by session",
    (
        _table(
            "First frames",
            "Of all players of the stream; a click on a session chooses it.",
            _tempo(FIRST_FRAMES, OF_STREAM),
        ),
        _table(
            "The session: first frame",
            "In the trace of the publication that it plays. Type its id above, as the console and logs have it.",
            _tempo(FIRST_FRAMES, OF_SESSION),
            width=12,
        ),
        _table(
            "The session: play",
            "In the trace of its own client, where that brought one.",
            _tempo(PLAYS, OF_SESSION),
            width=12,
        ),
        _table(
            "Publishers' sessions",
            "Known when they have ended, with why.",
            _tempo((SpanName.PUBLISHER,), OF_STREAM),
            width=12,
        ),
        _table(
            "Routes",
            "Where schedulers sent those who asked, and why there.",
            _tempo((SpanName.ROUTE,), OF_STREAM),
            width=12,
        ),
    ),
)
ONE = Row(
    "Tempo: one trace",
    (
        Panel(
            title="Trace",
            about="The trace whose id stands above, as log lines have it in trace_id.",
            queries=[Search({"queryType": "traceql", "query": "$trace", "filters": []})],
            kind="traces",
            source=TEMPO,
            width=24,
            height=14,
        ),
    ),
)
STREAM_TAG, SESSION_TAG = f'{Attribute.STREAM.value}="$stream"', f'{Attribute.SESSION.value}="$session"'
IN_JAEGER = Row(
    "Jaeger: by stream and by session",
    (
        _table("Newest publications", "Of all streams.", _jaeger(SpanName.PUBLISH), JAEGER, 12),
        _table(
            "Publications",
            "Of the stream above, by its whole name: Jaeger knows no patterns.",
            _jaeger(SpanName.PUBLISH, STREAM_TAG),
            JAEGER,
            12,
        ),
        _table(
            "Slow first frames",
            "Longer than `Slow`, of the stream above.",
            _jaeger(SpanName.FIRST_FRAME, STREAM_TAG, "$slow"),
            JAEGER,
            12,
        ),
        _table("Segments", "Of the stream above.", _jaeger(SpanName.SEGMENT, STREAM_TAG), JAEGER, 12),
        _table(
            "The session: first frame", "In the trace of what it plays.", _jaeger(SpanName.FIRST_FRAME, SESSION_TAG), JAEGER, 12
        ),
        _table("The session: publisher", "Known when it has ended.", _jaeger(SpanName.PUBLISHER, SESSION_TAG), JAEGER, 12),
        _table("The session: play", "In the trace of its own client.", _jaeger(SpanName.PLAY, SESSION_TAG), JAEGER, 12),
        _table("Routes", "Where schedulers sent those who asked.", _jaeger(SpanName.ROUTE, STREAM_TAG), JAEGER, 12),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    uid="lalmesh-traces",
    title="lalmesh / Traces",
    about="Traces by stream and by session, in Tempo or in Jaeger: open the rows of the one there is.",
    variables=(
        PROMETHEUS,
        TEMPO,
        JAEGER,
        NAMESPACES,
        Text("stream", "Stream (Tempo: a pattern)", ".*"),
        Text("session", "Session", ""),
        Text("slow", "Slow", "1s"),
        Text("trace", "Trace", ""),
    ),
    rows=(SENT, TEMPO_STREAM, TEMPO_SESSION, ONE, IN_JAEGER),
)
