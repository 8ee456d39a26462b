import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { kickAll, push, record, stopRecording } from "../actions";
import { get, list, streamPath, type HistoryModel, type PathModel, type RecordRuleModel, type RelayModel, type StreamModel } from "../api";
import { Chart, type Point } from "../chart";
import { Feed } from "../feed";
import { bits, count, NONE } from "../format";
import { RELAY_KINDS, SESSION_KINDS, STREAM_KINDS } from "../kinds";
import { useEventsOf, useLive } from "../live";
import { PathMap } from "../path";
import { linkTo } from "../router";
import { Player } from "../watch";
import { Facts, Problems, State } from "../ui";
import { RelayTable } from "./relays";
import { sessionsOf, SessionTable } from "./sessions";
import { tracksInWords } from "./streams";

const EVERY_MS = 1000;
const LISTS_MS = 3000;
const SPAN_S = 120; // of the charts; the server knows half a minute, the page remembers the rest

/** What the server knows of the last half minute, joined to what it said before. */
function useRemembered(history: HistoryModel | undefined): { rate: Point[]; frames: Point[]; gops: Point[] } {
  const seen = useRef({ rate: new Map<number, number>(), frames: new Map<number, number>(), gops: new Map<number, number>() });
  if (history) {
    const note = (into: Map<number, number>, newest: number[]): void =>
      newest.forEach((value, age) => into.set(history.end_s - 1 - age, value));
    note(seen.current.rate, history.bitrate_bps);
    note(seen.current.frames, history.frames);
    for (const gop of history.gops) seen.current.gops.set(gop.ended_us / 1e6, gop.duration_ms / 1000);
  }
  const endS = history?.end_s ?? Date.now() / 1000;
  const points = (from: Map<number, number>): Point[] => {
    for (const atS of from.keys()) if (atS < endS - SPAN_S) from.delete(atS);
    return [...from].map(([atS, value]) => ({ atS, value })).sort((a, b) => a.atS - b.atS);
  };
  return { rate: points(seen.current.rate), frames: points(seen.current.frames), gops: points(seen.current.gops) };
}

export function StreamPage({ app, name }: { app: string; name: string }): JSX.Element {
  const stream = `${app}/${name}`;
  const path = streamPath(app, name);
  const live = useLive(path, () => get<StreamModel>(path), EVERY_MS, STREAM_KINDS);
  const history = useLive(path, () => get<HistoryModel>(`${path}/history`), EVERY_MS);
  const way = useLive(path, () => get<PathModel>(`${path}/path`), EVERY_MS);
  const sessions = useLive(path, () => sessionsOf({ stream }), LISTS_MS, SESSION_KINDS);
  const relays = useLive(path, () => list<RelayModel>("/v1/relays", { stream }), LISTS_MS, RELAY_KINDS);
  const rules = useLive(path, () => list<RecordRuleModel>("/v1/recordings", { stream }), LISTS_MS);
  const events = useEventsOf(stream);
  const charts = useRemembered(history.data);
  const shown = live.data;
  const own = (rules.data ?? []).find((rule) => rule.stream === stream && rule.source === "api");
  const [ended, setEnded] = useState(false);
  useEffect(() => setEnded(live.problem?.status === 404), [live.problem]);
  return (
    <>
      <p class="back">
        <a href={linkTo("streams")}>Streams</a>
      </p>
      <h1>
        {stream} {shown && <State of={shown.state} />}
      </h1>
      {ended ? <p class="empty">Nobody publishes it now.</p> : <Problems {...live} />}
      <div class="actions">
        {own ? (
          <button type="button" onClick={() => stopRecording(own.id, stream, rules.reload)}>
            Record no longer…
          </button>
        ) : (
          <button type="button" onClick={() => record(stream, rules.reload)}>
            Record…
          </button>
        )}
        <button type="button" onClick={() => push(stream, relays.reload)}>
          Send elsewhere…
        </button>
        <button type="button" class="danger" onClick={() => kickAll(stream, "publisher", sessions.reload)}>
          End the publisher…
        </button>
        <button type="button" class="danger" onClick={() => kickAll(stream, "player", sessions.reload)}>
          End all players…
        </button>
      </div>
      <div class="halves">
        <Player stream={stream} />
        <section aria-label="What it is">
          <h2>What it is</h2>
          <Facts
            rows={[
              ["Tracks", tracksInWords(shown?.tracks ?? null)],
              ["Left out", shown?.left_out?.join(", ")],
              ["Rate", bits(shown?.bitrate_bps)],
              ["Players", shown ? `${count(shown.players)} connected, ${count(shown.hls_players)} of HLS` : NONE],
              ["Units", shown ? `${count(shown.units)}, ${count(shown.missing)} missing` : NONE],
              ["Edge", shown?.edge && <a href={linkTo("nodes", shown.edge)}>{shown.edge}</a>],
              ["Origin", shown?.origin && <a href={linkTo("nodes", shown.origin)}>{shown.origin}</a>],
              ["Heir", shown?.heir && <a href={linkTo("nodes", shown.heir)}>{shown.heir}</a>],
              ["HLS", shown?.hls && <a href={linkTo("nodes", shown.hls)}>{shown.hls}</a>],
              ["Recorded", (rules.data ?? []).map((rule) => `${rule.formats.join(", ")} (${rule.pattern})`).join("; ")],
            ]}
          />
        </section>
      </div>
      <div class="charts">
        <Chart title="Bit rate" points={charts.rate} show={bits} spanS={SPAN_S} />
        <Chart title="Frames a second" points={charts.frames} show={(value) => value.toFixed(0)} spanS={SPAN_S} />
        <Chart title="GOP, seconds" points={charts.gops} show={(value) => `${value.toFixed(2)} s`} spanS={SPAN_S} bars />
      </div>
      <section aria-label="Path">
        <h2>Path through the cluster</h2>
        <PathMap path={way.data} />
      </section>
      <section aria-label="Sessions">
        <h2>Sessions</h2>
        <Problems {...sessions} />
        <SessionTable sessions={sessions.data?.items ?? []} reload={sessions.reload} empty={sessions.data ? "Nobody is there." : "…"} of={stream} />
      </section>
      {(relays.data?.length ?? 0) > 0 && (
        <section aria-label="Relays">
          <h2>Relays</h2>
          <RelayTable relays={relays.data ?? []} reload={relays.reload} empty="" />
        </section>
      )}
      <section aria-label="Events">
        <h2>Events</h2>
        <Feed events={events} own />
      </section>
    </>
  );
}
