// The way of a stream: from its publisher's edge by its origin to those who play and segment it, with how late it is at each.

import type { JSX } from "preact";
import type { PathModel, PathNodeModel } from "./api";
import { count, plural } from "./format";
import { linkTo } from "./router";

const PARTS: Record<string, string> = {
  publishes: "publishes it",
  owns: "owns it",
  heir: "would inherit it",
  segments: "segments it",
  plays: "plays it",
};

export function PathMap({ path }: { path: PathModel | undefined }): JSX.Element {
  const nodes = path?.nodes ?? [];
  if (nodes.length === 0) return <p class="empty">No node has it.</p>;
  const steps = [["publishes"], ["owns", "heir"], ["plays", "segments"]].map((parts) => nodes.filter((node) => parts.includes(node.part)));
  return (
    <>
      <ol class="path">
        {steps.map((step, index) => (
          <li key={index}>
            {step.map((node) => (
              <Step key={`${node.node} ${node.part}`} node={node} />
            ))}
          </li>
        ))}
      </ol>
      {path?.more && <p class="quiet">More nodes play it than are shown.</p>}
    </>
  );
}

function Step({ node }: { node: PathNodeModel }): JSX.Element {
  const late = node.delay_ms === null ? "" : `+${node.delay_ms.toFixed(node.delay_ms < 10 ? 1 : 0)} ms`;
  return (
    <a class={`step ${node.part}`} href={linkTo("nodes", node.node)}>
      <b>{node.node}</b>
      <span>
        {PARTS[node.part] ?? node.part}
        {node.players !== null && `, ${plural(node.players, "player")}`}
      </span>
      {node.missing > 0 && <span class="bad">{count(node.missing)} missing</span>}
      {late && <span class="delay">{late}</span>}
    </a>
  );
}
