import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { kick } from "../actions";
import { get, type SessionModel, type SessionPageModel } from "../api";
import { ago, bits, plural } from "../format";
import { SESSION_KINDS } from "../kinds";
import { useLive } from "../live";
import { streamLink } from "../router";
import { Table, type Column } from "../table";
import { Problems } from "../ui";

const EVERY_MS = 2000;
const PAGE_ITEMS = 1000;
const MAX_PAGES = 3; // more are found by filters

export interface Sessions {
  items: SessionModel[];
  more: boolean;
}

/** The sessions of which all of `query` is true. */
export async function sessionsOf(query: Record<string, string>): Promise<Sessions> {
  const items: SessionModel[] = [];
  let cursor = "";
  for (let page = 0; page < MAX_PAGES; page++) {
    const asked = new URLSearchParams({ ...query, limit: String(PAGE_ITEMS), ...(cursor ? { cursor } : {}) });
    const answer = await get<SessionPageModel>(`/v1/sessions?${asked}`);
    items.push(...answer.items);
    cursor = answer.cursor;
    if (!cursor) break;
  }
  return { items, more: Boolean(cursor) };
}

const rate = (session: SessionModel): number => Math.max(session.sent_bps, session.received_bps);

export function SessionTable({ sessions, reload, empty, of }: { sessions: SessionModel[]; reload: () => void; empty: string; of?: string }): JSX.Element {
  const all: Column<SessionModel>[] = [
    { title: "Stream", show: (each) => <a href={streamLink(each.stream)}>{each.stream}</a>, sort: (each) => each.stream },
    { title: "Role", show: (each) => each.role.replace("_", " "), sort: (each) => each.role },
    { title: "Protocol", show: (each) => each.protocol, sort: (each) => each.protocol },
    { title: "Client", show: (each) => <span title={each.user_agent}>{each.peer}</span>, sort: (each) => each.peer, wide: true },
    { title: "Node", show: (each) => each.node, sort: (each) => each.node, wide: true },
    { title: "Rate", show: (each) => bits(rate(each)), sort: rate, figure: true, wide: true },
    { title: "Skips", show: (each) => each.skips, sort: (each) => each.skips, figure: true, wide: true },
    { title: "For", show: (each) => ago(each.opened_us), sort: (each) => -each.opened_us, figure: true, wide: true },
    {
      title: "End",
      show: (each) => (
        <button type="button" class="danger small" aria-label={`End the session of ${each.peer}`} onClick={() => kick(each, reload)}>
          End…
        </button>
      ),
    },
  ];
  return (
    <Table
      kind={of ? "sessions own" : "sessions"}
      label="Sessions"
      columns={of ? all.slice(1) : all}
      rows={sessions}
      id={(each) => each.id}
      empty={empty}
    />
  );
}

export function SessionsPage(): JSX.Element {
  const [role, setRole] = useState("");
  const [address, setAddress] = useState("");
  const query = { ...(role ? { role } : {}), ...(address.length > 1 ? { address } : {}) };
  const sessions = useLive(JSON.stringify(query), () => sessionsOf(query), EVERY_MS, SESSION_KINDS);
  return (
    <div class="full">
      <h1>Sessions</h1>
      <div class="filters" role="search">
        <label>
          Role{" "}
          <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
            <option value="">all</option>
            <option>publisher</option>
            <option>player</option>
            <option value="relay_pull">relay pull</option>
            <option value="relay_push">relay push</option>
          </select>
        </label>
        <label>
          Address <input type="search" value={address} placeholder="192.0.2.7" onChange={(event) => setAddress(event.currentTarget.value.trim())} />
        </label>
        <span role="status">{sessions.data ? `${plural(sessions.data.items.length, "session")}${sessions.data.more ? ", and more" : ""}` : "…"}</span>
      </div>
      <Problems {...sessions} />
      <SessionTable sessions={sessions.data?.items ?? []} reload={sessions.reload} empty={sessions.data ? "Nobody is there." : "…"} />
    </div>
  );
}
