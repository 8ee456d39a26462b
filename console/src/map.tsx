// The cluster as a map: edges, origins, hls nodes, and the streams that go between them.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { NodeModel, StreamModel } from "./api";
import { bits, plural } from "./format";
import { linkTo } from "./router";

const BOX_PX = 52;
const GAP_PX = 12;
const HEAD_PX = 26;
const BESIDE_PX = 9; // what is played goes beside what is published
const MAX_SHOWN = 24; // of a role: beyond that a list is the better map
const ROLES = ["edge", "origin", "hls"];

interface Place {
  x: number;
  y: number;
  width: number;
}

export function ClusterMap({ nodes, streams }: { nodes: NodeModel[]; streams: StreamModel[] }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(720);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.max(280, element.clientWidth)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  const columns = ROLES.map((role) => nodes.filter((node) => node.role === role).sort(byZone));
  const shown = columns.map((column) => column.slice(0, MAX_SHOWN));
  const boxWidth = Math.min(200, Math.floor(width / 3) - 16);
  const rows = Math.max(1, ...shown.map((column) => column.length));
  const height = HEAD_PX + rows * (BOX_PX + GAP_PX) + 18;
  const places = new Map<string, Place>();
  shown.forEach((column, index) => {
    const x = index * ((width - boxWidth) / 2);
    column.forEach((node, row) => {
      const y = HEAD_PX + (rows - column.length) * ((BOX_PX + GAP_PX) / 2) + row * (BOX_PX + GAP_PX);
      places.set(node.name, { x, y, width: boxWidth });
    });
  });
  const links = linksOf(nodes, streams, places);
  return (
    <div class="map" ref={box}>
      <svg viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="group" aria-label="Map of the cluster">
        {ROLES.map((role, index) => (
          <text key={role} class="role" x={index * ((width - boxWidth) / 2) + boxWidth / 2} y={16}>
            {role === "hls" ? "hls" : `${role}s`}
            {columns[index]!.length > MAX_SHOWN ? ` (${MAX_SHOWN} of ${columns[index]!.length})` : ""}
          </text>
        ))}
        {links.map(({ from, to, num, plays }) => (
          <path
            key={`${from} ${to}`}
            class={plays ? "link plays" : "link"}
            d={plays ? curve(places.get(to)!, places.get(from)!, BESIDE_PX) : curve(places.get(from)!, places.get(to)!)}
            stroke-width={Math.min(8, 1 + Math.log2(num))}
          >
            <title>{`${from} → ${to}: ${plural(num, "stream")}`}</title>
          </path>
        ))}
        {shown.flat().map((node) => (
          <NodeBox key={node.name} node={node} at={places.get(node.name)!} />
        ))}
      </svg>
    </div>
  );
}

const byZone = (a: NodeModel, b: NodeModel): number => a.zone.localeCompare(b.zone) || a.name.localeCompare(b.name);

function NodeBox({ node, at }: { node: NodeModel; at: Place }): JSX.Element {
  const used = usedOf(node);
  const chars = Math.floor((at.width - 16) / 7.6);
  const name = node.name.length > chars ? `${node.name.slice(0, chars - 1)}…` : node.name;
  const load = node.load;
  const figure = !load ? node.state : node.role === "origin" ? plural(node.groups, "stream") : node.role === "hls" ? plural(load.streams, "stream") : bits(load.egress_bps);
  const below = [node.zone, node.state === "joined" ? figure : node.state].filter(Boolean).join(" · ");
  return (
    <a href={linkTo("nodes", node.name)} aria-label={`${name} ${below}, ${node.role} ${node.name}, ${node.state}`} class={`node ${node.state}`}>
      <rect x={at.x} y={at.y} width={at.width} height={BOX_PX} rx={8} />
      <text x={at.x + 10} y={at.y + 21}>
        {`${name} `}
      </text>
      <text class="small" x={at.x + 10} y={at.y + 38}>
        {below}
      </text>
      <rect class="used" x={at.x + 10} y={at.y + BOX_PX - 7} width={(at.width - 20) * used} height={3} rx={1.5} />
    </a>
  );
}

/** The largest share of what a node can carry that is used; of what it does not say, of its processor. */
export function usedOf(node: NodeModel): number {
  if (!node.load) return 0;
  const { load, capacity } = node;
  const shares = [load.cpu_fraction];
  if (capacity.egress_bps) shares.push(load.egress_bps / capacity.egress_bps);
  if (capacity.sessions) shares.push(load.sessions / capacity.sessions);
  if (capacity.streams) shares.push(load.streams / capacity.streams);
  return Math.min(1, Math.max(...shares));
}

interface Link {
  from: string;
  to: string;
  num: number;
  plays: boolean; // from an origin to an edge, against the way that published streams go
}

/** What edges publish to origins, and what edges and hls nodes have from these. */
function linksOf(nodes: NodeModel[], streams: StreamModel[], places: Map<string, Place>): Link[] {
  const found = new Map<string, Link>();
  for (const { edge, origin } of streams) {
    if (!edge || !origin || !places.has(edge) || !places.has(origin)) continue;
    const key = `${edge}\n${origin}`;
    const link = found.get(key);
    if (link) link.num++;
    else found.set(key, { from: edge, to: origin, num: 1, plays: false });
  }
  const read = nodes.flatMap((node) =>
    places.has(node.name)
      ? (node.reads ?? [])
          .filter(({ origin }) => places.has(origin))
          .map(({ origin, streams: num }) => ({ from: origin, to: node.name, num, plays: node.role === "edge" }))
      : [],
  );
  return [...found.values(), ...read];
}

function curve(from: Place, to: Place, lower = 0): string {
  const [left, right] = [from.x + from.width, to.x];
  const [y1, y2] = [from.y + BOX_PX / 2 + lower, to.y + BOX_PX / 2 + lower];
  const bend = (right - left) / 2;
  return `M${left} ${y1}C${left + bend} ${y1} ${right - bend} ${y2} ${right} ${y2}`;
}
