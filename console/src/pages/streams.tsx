import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { list, type StreamModel, type TrackModel } from "../api";
import { bits, count, plural } from "../format";
import { useLive, type Live } from "../live";
import { linkTo } from "../router";
import { Table, type Column } from "../table";
import { Problems, State } from "../ui";
import { STREAM_KINDS } from "../kinds";

const EVERY_MS = 3000;
const MANY_MS = 10_000; // where there are more than a thousand
const MANY = 1000;

export const streamPage = (stream: StreamModel): string => linkTo("streams", stream.app, stream.name);

export function tracksInWords(tracks: TrackModel[] | null): string {
  return (tracks ?? [])
    .filter((track) => track.kind !== "data")
    .map((track) => `${track.codec}${track.height ? ` ${track.width}×${track.height}` : ""}`)
    .join(" + ");
}

const COLUMNS: Column<StreamModel>[] = [
  { title: "Stream", show: (stream) => <a href={streamPage(stream)}>{stream.stream}</a>, sort: (stream) => stream.stream },
  { title: "State", show: (stream) => <State of={stream.state} />, sort: (stream) => stream.state },
  { title: "Tracks", show: (stream) => tracksInWords(stream.tracks) || "–", sort: (stream) => tracksInWords(stream.tracks), wide: true },
  { title: "Rate", show: (stream) => bits(stream.bitrate_bps), sort: (stream) => stream.bitrate_bps ?? -1, figure: true },
  {
    title: "Players",
    show: (stream) => count((stream.players ?? 0) + (stream.hls_players ?? 0)),
    sort: (stream) => (stream.players ?? 0) + (stream.hls_players ?? 0),
    figure: true,
  },
  { title: "Edge", show: (stream) => stream.edge ?? "–", sort: (stream) => stream.edge ?? "", wide: true },
  { title: "Origin", show: (stream) => stream.origin ?? "–", sort: (stream) => stream.origin ?? "", wide: true },
];

export function StreamTable({ streams, empty }: { streams: StreamModel[]; empty: string }): JSX.Element {
  return (
    <Table kind="streams" label="Streams" columns={COLUMNS} rows={streams} id={(stream) => stream.stream} link={streamPage} empty={empty} />
  );
}

/** All streams, less often where they are many: each look takes the scheduler some 60 µs a stream. */
export function useStreams(): Live<StreamModel[]> {
  const [many, setMany] = useState(false);
  const load = async (): Promise<StreamModel[]> => {
    const found = await list<StreamModel>("/v1/streams");
    setMany(found.length > MANY);
    return found;
  };
  return useLive("streams", load, many ? MANY_MS : EVERY_MS, many ? [] : STREAM_KINDS);
}

export function StreamsPage(): JSX.Element {
  const [text, setText] = useState("");
  const [state, setState] = useState("");
  const streams = useStreams();
  const rows = useMemo(() => {
    const wanted = text.toLowerCase();
    return (streams.data ?? []).filter(
      (stream) =>
        (!state || stream.state === state) &&
        (!wanted || [stream.stream, stream.edge, stream.origin].some((each) => each?.toLowerCase().includes(wanted))),
    );
  }, [streams.data, text, state]);
  return (
    <div class="full">
      <h1>Streams</h1>
      <div class="filters" role="search">
        <label>
          Find{" "}
          <input type="search" value={text} placeholder="name, edge or origin" onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <label>
          State{" "}
          <select value={state} onChange={(event) => setState(event.currentTarget.value)}>
            <option value="">all</option>
            <option>waiting</option>
            <option>live</option>
            <option>grace</option>
          </select>
        </label>
        <span role="status">{streams.data ? `${count(rows.length)} of ${plural(streams.data.length, "stream")}` : "…"}</span>
      </div>
      <Problems {...streams} />
      <StreamTable streams={rows} empty={streams.data ? "Nobody publishes." : "…"} />
    </div>
  );
}
