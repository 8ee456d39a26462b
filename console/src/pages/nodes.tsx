import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { list, type NodeModel } from "../api";
import { bits, count, plural, share } from "../format";
import { useLive } from "../live";
import { usedOf } from "../map";
import { linkTo } from "../router";
import { Table, type Column } from "../table";
import { Problems, State } from "../ui";
import { NODE_KINDS } from "../kinds";

const EVERY_MS = 2000;
const COLUMNS: Column<NodeModel>[] = [
  { title: "Node", show: (node) => <a href={linkTo("nodes", node.name)}>{node.name}</a>, sort: (node) => node.name },
  { title: "Role", show: (node) => node.role, sort: (node) => node.role },
  { title: "State", show: (node) => <State of={node.state} />, sort: (node) => node.state },
  { title: "Zone", show: (node) => node.zone || "–", sort: (node) => node.zone, wide: true },
  { title: "Used", show: (node) => (node.load ? share(usedOf(node)) : "–"), sort: usedOf, figure: true },
  { title: "Sessions", show: (node) => count(node.load?.sessions), sort: (node) => node.load?.sessions ?? -1, figure: true, wide: true },
  { title: "In", show: (node) => bits(node.load?.ingress_bps), sort: (node) => node.load?.ingress_bps ?? -1, figure: true, wide: true },
  { title: "Out", show: (node) => bits(node.load?.egress_bps), sort: (node) => node.load?.egress_bps ?? -1, figure: true, wide: true },
  { title: "Version", show: (node) => node.version, wide: true },
];
// shown where there are any
const WORKER_OF: Column<NodeModel> = { title: "Worker of", show: (node) => node.worker_of || "–", sort: (node) => node.worker_of ?? "", wide: true };

export function NodesPage(): JSX.Element {
  const [role, setRole] = useState("");
  const nodes = useLive("nodes", () => list<NodeModel>("/v1/nodes"), EVERY_MS, NODE_KINDS);
  const rows = (nodes.data ?? []).filter((node) => !role || node.role === role);
  const hasWorkers = rows.some((node) => node.worker_of);
  return (
    <div class="full">
      <h1>Nodes</h1>
      <div class="filters" role="search">
        <label>
          Role{" "}
          <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
            <option value="">all</option>
            <option>edge</option>
            <option>origin</option>
            <option>hls</option>
          </select>
        </label>
        <span role="status">{nodes.data ? plural(rows.length, "node") : "…"}</span>
      </div>
      <Problems {...nodes} />
      <Table
        kind={hasWorkers ? "nodes workers" : "nodes"}
        label="Nodes"
        columns={hasWorkers ? [...COLUMNS, WORKER_OF] : COLUMNS}
        rows={rows}
        id={(node) => node.name}
        link={(node) => linkTo("nodes", node.name)}
        empty={nodes.data ? "No node has joined." : "…"}
      />
    </div>
  );
}
