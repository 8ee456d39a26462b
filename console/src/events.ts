// What happens, as it happens: server-sent events by fetch, since an EventSource can show no token.

import { headers } from "./api";

export interface ClusterEvent {
  id: string;
  event: string;
  at: string;
  node: string;
  stream: { app: string; name: string } | null;
  data: Record<string, unknown>;
}

/** What is worth a line: segments come by the thousand, and updates are asked for by receivers. */
export const KINDS = [
  ...["server_start", "rtmp_connect", "pub_start", "pub_stop", "sub_start", "sub_stop", "first_viewer", "last_viewer"],
  ...["relay_pull_start", "relay_pull_stop", "relay_push_start", "relay_push_stop", "recording_done", "stream_not_found"],
  ...["owner_moved", "node_up", "node_away", "node_draining", "node_down", "alarm", "alarm_over", "events_lost"],
];

const AGAIN_MS = 2000;
const SILENCE_MS = 40_000; // the server says something every 15 s

/** Call `heard` with what happens, until `signal`; `told` with whether somebody answers. */
export async function listen(
  query: Record<string, string>,
  heard: (events: ClusterEvent[]) => void,
  told: (connected: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = "";
  while (!signal.aborted) {
    const attempt = new AbortController();
    const end = (): void => attempt.abort();
    signal.addEventListener("abort", end);
    let watch = setTimeout(end, SILENCE_MS);
    try {
      const said = last ? { ...headers(), "Last-Event-ID": last } : headers();
      const asked = new URLSearchParams([...Object.entries(query), ...KINDS.map((kind) => ["kind", kind])]);
      const answer = await fetch(`/v1/events?${asked}`, { headers: said, signal: attempt.signal, cache: "no-store" });
      if (answer.ok && answer.body) {
        told(true);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          clearTimeout(watch);
          watch = setTimeout(end, SILENCE_MS);
          const blocks = (rest + value).split("\n\n");
          rest = blocks.pop() ?? "";
          const found = blocks.map(parse).filter((each) => each !== null);
          last = found.at(-1)?.position || last;
          if (found.length) heard(found.map((each) => each.event));
        }
      }
    } catch {
      // told below
    } finally {
      clearTimeout(watch);
      signal.removeEventListener("abort", end);
    }
    if (signal.aborted) return;
    told(false);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

function parse(block: string): { position: string; event: ClusterEvent } | null {
  let position = "";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) position = line.slice(4);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { position, event: JSON.parse(data.join("\n")) as ClusterEvent } : null;
}
