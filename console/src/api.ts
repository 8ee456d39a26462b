// The API of the scheduler (docs/api.md), asked with the token of this tab. Interfaces are called as its models are;
// tests/unit/scheduler/test_console.py holds them to the OpenAPI document.

export interface TrackModel {
  kind: string;
  codec: string;
  profile: string;
  width: number;
  height: number;
  frame_rate: number | null;
  sample_rate_hz: number;
  channels: number;
}

export interface StreamModel {
  stream: string;
  app: string;
  name: string;
  state: string;
  edge: string | null;
  origin: string | null;
  heir: string | null;
  hls: string | null;
  tracks: TrackModel[] | null;
  left_out: string[] | null;
  players: number | null;
  hls_players: number | null;
  subscriptions: number | null;
  bitrate_bps: number | null;
  units: number | null;
  missing: number | null;
}

export interface LoadModel {
  egress_bps: number;
  ingress_bps: number;
  sessions: number;
  streams: number;
  memory_bytes: number;
  cpu_fraction: number;
}

export interface CapacityModel {
  egress_bps: number;
  sessions: number;
  streams: number;
  memory_bytes: number;
  cpu_fraction: number;
}

export interface EndpointModel {
  protocol: string;
  host: string;
  port: number;
}

export interface ReadModel {
  origin: string;
  streams: number;
}

// `reads`, `worker_of`: older replicas do not say them
export interface NodeModel {
  name: string;
  role: string;
  state: string;
  zone: string;
  machine: string;
  worker_of?: string;
  address: string;
  version: string;
  endpoints: EndpointModel[];
  capacity: CapacityModel;
  groups: number;
  load: LoadModel | null;
  reads?: ReadModel[];
  unreachable_reports: number;
}

export interface SessionModel {
  id: string;
  stream: string;
  protocol: string;
  role: string;
  node: string;
  peer: string;
  url: string;
  query: string;
  user_agent: string;
  codecs: string[];
  opened_us: number;
  received_bytes: number;
  sent_bytes: number;
  received_bps: number;
  sent_bps: number;
  queued_bytes: number;
  skips: number;
  first_media_ms: number;
}

export interface SessionPageModel {
  items: SessionModel[];
  cursor: string;
}

export interface RelayModel {
  id: string;
  kind: string;
  stream: string;
  urls: string[];
  rule: string | null;
  state: string;
  edge: string | null;
  url: string | null;
  session: string | null;
  attempts: number | null;
  error: string | null;
  since_us: number | null;
}

export interface RuleModel {
  id: string;
  kind: string;
  pattern: string;
  urls: string[];
  on_demand: boolean;
  source: string;
}

export interface RecordRuleModel {
  id: string;
  source: string;
  stream: string | null;
  pattern: string;
  formats: string[];
}

export interface RouteModel {
  url: string;
  edge: string | null;
  reason: string;
}

export interface KickedModel {
  ids: string[];
  more: boolean;
}

export interface ListPage<T> {
  items: T[];
  item_count: number;
  page_count: number;
}

/** What the server does not do, in its words. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    text: string,
  ) {
    super(text);
  }
}

const TOKEN = "lalmesh-token";
const ANSWER_MS = 15_000;
const PAGE_ITEMS = 1000;
const MAX_PAGES = 10; // 10,000 of anything are enough to look at: filters find the rest

/** The token of this tab; it ends with it. */
export const token = {
  get: (): string => sessionStorage.getItem(TOKEN) ?? "",
  set: (value: string): void => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

export function headers(): Record<string, string> {
  const shown = token.get();
  return shown ? { Authorization: `Bearer ${shown}` } : {};
}

/** What is answered. Throws `Problem`, with status 0 where nothing is answered. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const sent: RequestInit = { method, headers: headers(), signal: AbortSignal.timeout(ANSWER_MS), cache: "no-store" };
  if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers = { ...headers(), "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(path, sent);
  } catch (error) {
    throw new Problem(0, error instanceof DOMException ? "the scheduler does not answer" : "the scheduler cannot be reached");
  }
  const text = await answer.text();
  if (!answer.ok) throw new Problem(answer.status, detailOf(text) || `${answer.status} ${answer.statusText}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

export const get = <T>(path: string): Promise<T> => ask<T>("GET", path);

/** A list with all its pages, up to `MAX_PAGES`. */
export async function list<T>(path: string, query: Record<string, string> = {}): Promise<T[]> {
  const found: T[] = [];
  for (let page = 1; page <= MAX_PAGES; page++) {
    const asked = new URLSearchParams({ ...query, page: String(page), items_per_page: String(PAGE_ITEMS) });
    const answer = await get<ListPage<T>>(`${path}?${asked}`);
    found.push(...answer.items);
    if (page >= answer.page_count) break;
  }
  return found;
}

export const streamPath = (app: string, name: string): string =>
  `/v1/streams/${encodeURIComponent(app)}/${encodeURIComponent(name)}`;

function detailOf(text: string): string {
  try {
    return String((JSON.parse(text) as { detail?: string }).detail ?? "");
  } catch {
    return "";
  }
}

export interface GopModel {
  ended_us: number;
  frames: number;
  duration_ms: number;
}

export interface HistoryModel {
  end_s: number;
  frames: number[];
  bitrate_bps: number[];
  gops: GopModel[];
}

export interface PathNodeModel {
  node: string;
  role: string;
  part: string;
  reads_from: string | null;
  delay_ms: number | null;
  players: number | null;
  units: number;
  missing: number;
}

export interface PathModel {
  nodes: PathNodeModel[];
  more: boolean;
}

export interface OwnTokenModel {
  name: string;
  role: string;
  tokens: boolean;
}
