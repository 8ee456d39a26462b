import type { JSX } from "preact";
import { list, type NodeModel } from "../api";
import { Feed } from "../feed";
import { bits, count } from "../format";
import { useEvents, useLive } from "../live";
import { ClusterMap } from "../map";
import { linkTo } from "../router";
import { NODE_KINDS } from "../kinds";
import { Problems } from "../ui";
import { useStreams } from "./streams";

const EVERY_MS = 3000;
const FEED_NUM = 40;

export function Overview(): JSX.Element {
  const nodes = useLive("nodes", () => list<NodeModel>("/v1/nodes"), EVERY_MS, NODE_KINDS);
  const streams = useStreams();
  const events = useEvents();
  const found = streams.data ?? [];
  const edges = (nodes.data ?? []).filter((node) => node.role === "edge");
  const sum = (values: (number | null | undefined)[]): number => values.reduce<number>((total, value) => total + (value ?? 0), 0);
  const away = (nodes.data ?? []).filter((node) => node.state !== "joined").length;
  const figures: [string, string, string][] = [
    ["Nodes", `${count(nodes.data?.length)}${away ? ` (${away} not joined)` : ""}`, linkTo("nodes")],
    ["Streams", count(streams.data?.length), linkTo("streams")],
    ["Players", count(sum(found.map((stream) => (stream.players ?? 0) + (stream.hls_players ?? 0)))), linkTo("sessions")],
    ["In", bits(sum(edges.map((node) => node.load?.ingress_bps))), linkTo("nodes")],
    ["Out", bits(sum(edges.map((node) => node.load?.egress_bps))), linkTo("nodes")],
  ];
  return (
    <>
      <h1>Overview</h1>
      <Problems problem={nodes.problem ?? streams.problem} reload={() => (nodes.reload(), streams.reload())} />
      <div class="figures">
        {figures.map(([name, value, link]) => (
          <a key={name} href={link}>
            <span>{name}</span> <b>{value}</b>
          </a>
        ))}
      </div>
      <section aria-labelledby="map-title">
        <h2 id="map-title">Map</h2>
        <ClusterMap nodes={nodes.data ?? []} streams={found} />
        <p class="quiet">Lines are streams: those that edges send to origins and hls nodes get; broken ones those that edges play.</p>
      </section>
      <section aria-labelledby="feed-title">
        <h2 id="feed-title">What happens</h2>
        <Feed events={events.slice(0, FEED_NUM)} />
      </section>
    </>
  );
}
