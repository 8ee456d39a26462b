import type { JSX } from "preact";
import { drain } from "../actions";
import { get, list, type NodeModel, type StreamModel } from "../api";
import { bits, bytes, count, share } from "../format";
import { useEvents, useLive } from "../live";
import { linkTo } from "../router";
import { Facts, Gauge, Problems, State } from "../ui";
import { Feed } from "../feed";
import { NODE_KINDS } from "../kinds";
import { StreamTable } from "./streams";

const EVERY_MS = 2000;
const STREAMS_MS = 5000;

export function NodePage({ name }: { name: string }): JSX.Element {
  const node = useLive(name, () => get<NodeModel>(`/v1/nodes/${encodeURIComponent(name)}`), EVERY_MS, NODE_KINDS);
  const streams = useLive(name, () => list<StreamModel>("/v1/streams", { node: name }), STREAMS_MS, ["pub_start", "pub_stop"]);
  const events = useEvents().filter((event) => event.node === name);
  const shown = node.data;
  return (
    <>
      <p class="back">
        <a href={linkTo("nodes")}>Nodes</a>
      </p>
      <h1>
        {name} {shown && <State of={shown.state} />}
      </h1>
      <Problems {...node} />
      {shown && (
        <>
          <div class="actions">
            <button type="button" class="danger" disabled={shown.state === "draining"} onClick={() => drain(shown, node.reload)}>
              Drain…
            </button>
            {shown.worker_of && (
              <button type="button" class="danger" onClick={() => drain(shown, node.reload, shown.worker_of)}>
                Drain all of {shown.worker_of}…
              </button>
            )}
          </div>
          <div class="halves">
            <section aria-label="Load">
              <h2>Load</h2>
              {shown.load && shown.capacity ? (
                <>
                  <Gauge label="Processor" used={shown.load.cpu_fraction} of={1} text={share(shown.load.cpu_fraction)} />
                  <Gauge label="Memory" used={shown.load.memory_bytes} of={shown.capacity.memory_bytes} text={bytes(shown.load.memory_bytes)} />
                  <Gauge label="Sessions" used={shown.load.sessions} of={shown.capacity.sessions} text={count(shown.load.sessions)} />
                  <Gauge label="Streams" used={shown.load.streams} of={shown.capacity.streams} text={count(shown.load.streams)} />
                  <Gauge label="Out" used={shown.load.egress_bps} of={shown.capacity.egress_bps} text={bits(shown.load.egress_bps)} />
                  <Gauge label="In" used={shown.load.ingress_bps} of={0} text={bits(shown.load.ingress_bps)} />
                </>
              ) : (
                <p class="empty">It has not said.</p>
              )}
            </section>
            <section aria-label="What it is">
              <h2>What it is</h2>
              <Facts
                rows={[
                  ["Role", shown.role],
                  ["Zone", shown.zone],
                  ["Machine", shown.machine],
                  ...(shown.worker_of ? [["Worker of", shown.worker_of] as [string, string]] : []),
                  ["Version", shown.version],
                  ["Address", shown.address],
                  ["Reached by", shown.endpoints?.map((each) => `${each.protocol}://${each.host}:${each.port}`).join(", ")],
                  ["Could not reach it", shown.unreachable_reports ? `${shown.unreachable_reports} readers` : ""],
                ]}
              />
            </section>
          </div>
        </>
      )}
      <section aria-label="Streams">
        <h2>Streams</h2>
        <Problems {...streams} />
        <StreamTable streams={streams.data ?? []} empty={streams.data ? "It has none." : "…"} />
      </section>
      <section aria-label="Events">
        <h2>What happens here</h2>
        <Feed events={events.slice(0, 40)} />
      </section>
    </>
  );
}
