// The player as the page around its frame has it: which protocol, which edge, how it goes.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, type RouteModel } from "./api";
import type { Failed, Playing } from "./player";

const PROTOCOLS: [string, string][] = [
  ["http-flv", "HTTP-FLV"],
  ["ll-hls", "Low-latency HLS"],
  ["hls", "HLS"],
];

interface Source {
  src: string;
  edge: string;
  key: number;
}

/** Nothing is played before somebody asks for it: a console that is left open costs an edge nothing. */
export function Player({ stream }: { stream: string }): JSX.Element {
  const [protocol, setProtocol] = useState("http-flv");
  const [query, setQuery] = useState("");
  const [source, setSource] = useState<Source>();
  const [playing, setPlaying] = useState<Playing>();
  const [failed, setFailed] = useState("");
  const frame = useRef<HTMLIFrameElement>(null);
  useEffect(() => {
    const heard = (event: MessageEvent<Playing | Failed>): void => {
      if (event.origin !== location.origin || event.source !== frame.current?.contentWindow) return;
      if (event.data.kind === "playing") setPlaying(event.data);
      else setFailed(event.data.text);
    };
    addEventListener("message", heard);
    return () => removeEventListener("message", heard);
  }, []);
  const stop = (): void => {
    setSource(undefined);
    setPlaying(undefined);
    setFailed("");
  };
  const play = async (): Promise<void> => {
    stop();
    const asked = location.protocol === "https:" ? `https-${protocol.replace("http-", "")}` : protocol; // a page in TLS may ask nothing else
    try {
      const route = await get<RouteModel>(`/v1/route/play?${new URLSearchParams({ stream, protocol: asked })}`);
      const url = query ? `${route.url}${route.url.includes("?") ? "&" : "?"}${query.replace(/^\?/, "")}` : route.url;
      setSource({ src: `./player.html#${new URLSearchParams({ url, protocol })}`, edge: route.edge ?? new URL(url).host, key: Date.now() });
    } catch (problem) {
      setFailed(problem instanceof Error ? problem.message : String(problem));
    }
  };
  const notYet = failed && !playing?.frames;
  return (
    <section class="player" aria-label="Player">
      <div class="screen">
        {source ? (
          <iframe key={source.key} ref={frame} src={source.src} title={`Player of ${stream}`} allow="autoplay; fullscreen; picture-in-picture" />
        ) : (
          <button type="button" class="play" onClick={() => void play()}>
            ▶ Play
          </button>
        )}
      </div>
      <div class="controls">
        <label>
          Over{" "}
          <select
            value={protocol}
            onChange={(event) => {
              stop();
              setProtocol(event.currentTarget.value);
            }}
          >
            {PROTOCOLS.map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <label>
          Query{" "}
          <input value={query} placeholder="token=…" autocomplete="off" onInput={(event) => setQuery(event.currentTarget.value)} />
        </label>
        {source && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </div>
      {failed && (
        <p class="problem" role="alert">
          {failed}
          {notYet && source && (
            <>
              . A browser may ask an edge only where <code>edge.http.cors_origins</code> lists <code>{location.origin}</code>.
            </>
          )}
        </p>
      )}
      {source && playing && (
        <p class="quiet figures-of-player">
          {source.edge} · {playing.width}×{playing.height} · {playing.frames} frames, {playing.dropped} dropped · {playing.bufferS.toFixed(1)} s ahead
        </p>
      )}
    </section>
  );
}
