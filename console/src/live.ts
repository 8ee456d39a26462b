// What is on the page is asked for again and again while somebody looks, and at once when an event says that it has changed.

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./api";
import { listen, type ClusterEvent } from "./events";

const KEPT_EVENTS = 300;
const AFTER_EVENT_MS = 250; // several come together
const BACK_MS = 10 * 60_000; // what has happened before the page was opened

export interface Live<T> {
  data: T | undefined;
  problem: Problem | undefined;
  reload: () => void;
}

type Heard = (events: ClusterEvent[]) => void;
const hearers = new Set<Heard>();
const connections = new Set<(connected: boolean) => void>();
let kept: ClusterEvent[] = [];
let connected = false;
let listening: AbortController | undefined;

/** Begin to hear events, or begin anew with another token. */
export function startEvents(): void {
  listening?.abort();
  listening = new AbortController();
  kept = [];
  const seen = new Set<string>();
  const take: Heard = (events) => {
    const fresh = events.filter((each) => !seen.has(each.id));
    fresh.forEach((each) => seen.add(each.id));
    kept = [...fresh.reverse(), ...kept].slice(0, KEPT_EVENTS);
    if (seen.size > 10 * KEPT_EVENTS) {
      seen.clear();
      kept.forEach((each) => seen.add(each.id));
    }
    hearers.forEach((heard) => heard(fresh));
  };
  const tell = (now: boolean): void => {
    connected = now;
    connections.forEach((told) => told(now));
  };
  void listen({ after: `${Date.now() - BACK_MS}-0` }, take, tell, listening.signal);
}

export function useConnected(): boolean {
  const [now, setNow] = useState(connected);
  useEffect(() => {
    connections.add(setNow);
    setNow(connected);
    return () => void connections.delete(setNow);
  }, []);
  return now;
}

/** All events that were heard, the newest first. */
export function useEvents(): ClusterEvent[] {
  const [events, setEvents] = useState(kept);
  useEffect(() => {
    const heard = (): void => setEvents(kept);
    hearers.add(heard);
    heard();
    return () => void hearers.delete(heard);
  }, []);
  return events;
}

/** Events of one stream, from the first that is still kept, the newest first. */
export function useEventsOf(stream: string): ClusterEvent[] {
  const [events, setEvents] = useState<ClusterEvent[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    const found = new Map<string, ClusterEvent>();
    setEvents([]);
    const heard: Heard = (fresh) => {
      fresh.forEach((each) => found.set(each.id, each));
      setEvents([...found.values()].slice(-KEPT_EVENTS).reverse());
    };
    void listen({ stream, after: "0-0" }, heard, () => undefined, ending.signal);
    return () => ending.abort();
  }, [stream]);
  return events;
}

/** What `load` gives, again every `everyMs` and after events of `kinds`; `key` says what is asked for. */
export function useLive<T>(key: string, load: () => Promise<T>, everyMs: number, kinds: string[] = []): Live<T> {
  const [state, setState] = useState<{ key: string; data?: T; problem?: Problem }>({ key });
  const loader = useRef(load);
  loader.current = load;
  const again = useRef<() => void>(() => undefined);
  useEffect(() => {
    let ended = false;
    let asking = false;
    let wanted = false;
    let answeredMs = 0; // when it was answered last
    let dueMs = Infinity;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const plan = (ms: number): void => {
      const atMs = performance.now() + ms;
      if (ended || atMs >= dueMs) return; // events that keep coming put nothing off
      dueMs = atMs;
      clearTimeout(timer);
      timer = setTimeout(run, ms);
    };
    const soon = (): void => plan(Math.max(AFTER_EVENT_MS, answeredMs + everyMs / 3 - performance.now()));
    const run = async (): Promise<void> => {
      dueMs = Infinity;
      if (asking) {
        wanted = true;
        return;
      }
      if (document.hidden) return plan(everyMs);
      asking = true;
      wanted = false;
      try {
        const data = await loader.current();
        if (!ended) setState({ key, data });
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem(0, String(error));
        if (!ended) setState((before) => ({ key, data: before.key === key && problem.status !== 404 ? before.data : undefined, problem }));
      }
      asking = false;
      answeredMs = performance.now();
      if (wanted) soon();
      else plan(everyMs);
    };
    again.current = () => plan(0);
    const heard: Heard = (events) => {
      if (events.some((each) => kinds.includes(each.event))) soon();
    };
    const seen = (): void => {
      if (!document.hidden) plan(0);
    };
    hearers.add(heard);
    document.addEventListener("visibilitychange", seen);
    void run();
    return () => {
      ended = true;
      clearTimeout(timer);
      hearers.delete(heard);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, everyMs]);
  const current = state.key === key ? state : { key };
  return { data: current.data, problem: current.problem, reload: () => again.current() };
}
