// What can be done from here. Each is asked about first, and the scheduler says whether the token is worth it.

import { ask, type KickedModel, type NodeModel, type RelayModel, type SessionModel } from "./api";
import { askFirst } from "./ui";

const RECORDED = ["mp4", "flv", "ts", "hls"];

export function kick(session: SessionModel, then: () => void): void {
  askFirst({
    title: "End this session?",
    text: `${session.role} of ${session.stream} over ${session.protocol}, from ${session.peer}. The client may come back at once.`,
    action: "End it",
    danger: true,
    fields: [{ name: "reason", label: "Reason", value: "kicked", hint: "The client is told, and logs say it.", required: true }],
    run: async ({ reason }) => {
      await ask("DELETE", `/v1/sessions/${encodeURIComponent(session.id)}?${new URLSearchParams({ reason: reason ?? "" })}`);
      then();
      return "The session is ended.";
    },
  });
}

export function kickAll(stream: string, role: "player" | "publisher", then: () => void): void {
  askFirst({
    title: role === "player" ? "End all players?" : "End the publisher?",
    text: `Of ${stream}. Clients may come back at once.`,
    action: "End them",
    danger: true,
    fields: [{ name: "reason", label: "Reason", value: "kicked", hint: "Clients are told, and logs say it.", required: true }],
    run: async ({ reason }) => {
      const kicked = await ask<KickedModel>("POST", "/v1/sessions/kick", { stream, role, reason });
      then();
      return `${kicked.ids.length} ended${kicked.more ? ", and there are more" : ""}.`;
    },
  });
}

export function record(stream: string, then: () => void): void {
  askFirst({
    title: `Record ${stream}?`,
    text: "From now on, and each time that it is published, until the rule is removed.",
    action: "Record",
    fields: [{ name: "format", label: "As", options: RECORDED }],
    run: async ({ format }) => {
      await ask("POST", "/v1/recordings", { stream, formats: [format] });
      then();
      return "It is recorded.";
    },
  });
}

export function stopRecording(id: string, stream: string, then: () => void): void {
  askFirst({
    title: "Record no longer?",
    text: `The file of ${stream} is whole soon.`,
    action: "Stop",
    danger: true,
    run: async () => {
      await ask("DELETE", `/v1/recordings/${encodeURIComponent(id)}`);
      then();
      return "It is recorded no longer.";
    },
  });
}

export function push(stream: string, then: () => void): void {
  askFirst({
    title: `Send ${stream} elsewhere?`,
    action: "Send",
    fields: [{ name: "url", label: "To", hint: "rtmp://host/app/name, rtsp://…", required: true }],
    run: async ({ url }) => {
      await ask("POST", "/v1/relays", { kind: "push", stream, urls: [url] });
      then();
      return "It is sent from now on.";
    },
  });
}

export function addRelay(then: () => void): void {
  askFirst({
    title: "New relay",
    action: "Begin",
    fields: [
      { name: "kind", label: "Kind", options: ["pull", "push"], hint: "pull: from there to here; push: from here to there." },
      { name: "stream", label: "Stream here", hint: "app/name", required: true },
      { name: "url", label: "URL there", hint: "rtmp://host/app/name, rtsp://…, http://….flv", required: true },
    ],
    run: async ({ kind, stream, url }) => {
      await ask("POST", "/v1/relays", { kind, stream, urls: [url] });
      then();
      return "The relay is begun.";
    },
  });
}

export function endRelay(relay: RelayModel, then: () => void): void {
  askFirst({
    title: "End this relay?",
    text: `${relay.kind} of ${relay.stream}: ${relay.urls.join(", ")}`,
    action: "End it",
    danger: true,
    run: async () => {
      await ask("DELETE", `/v1/relays/${encodeURIComponent(relay.id)}`);
      then();
      return "The relay is ended.";
    },
  });
}

/** Drains a node, or with its `whole` name all workers of the one that it is a worker of. */
export function drain(node: NodeModel, then: () => void, whole = ""): void {
  const name = whole || node.name;
  const what = whole ? `All workers of this ${node.role} node take` : `This ${node.worker_of ? `worker of an ${node.role} node` : `${node.role} node`} takes`;
  const all = whole ? "give everything away, and end. They" : "gives everything away, and ends. It";
  askFirst({
    title: `Drain ${name}?`,
    text: `${what} nothing new, ${all} cannot be taken back.`,
    action: "Drain",
    danger: true,
    fields: [{ name: "deadline", label: "Ends in any case after, seconds", type: "number", value: "0", hint: "0: as it is configured." }],
    run: async ({ deadline }) => {
      await ask("POST", `/v1/nodes/${encodeURIComponent(name)}/drain`, { deadline_s: Number(deadline) || 0 });
      then();
      return `${name} drains.`;
    },
  });
}
