// The player, alone in its frame: only here may a page ask edges, and the token of the API is nothing that it is given.
// What to play is in the fragment of its URL, which no server sees; how it goes is told to the page around it.

import Hls from "hls.js/light";
import mpegts from "mpegts.js";

export interface Playing {
  kind: "playing";
  width: number;
  height: number;
  frames: number; // decoded
  dropped: number;
  bufferS: number; // how much more is in the buffer
  positionS: number;
}

export interface Failed {
  kind: "failed";
  text: string;
}

const TELL_MS = 500;
const video = document.querySelector("video")!;
const asked = new URLSearchParams(location.hash.slice(1));
const url = asked.get("url") ?? "";

function tell(said: Playing | Failed): void {
  parent.postMessage(said, location.origin);
}

function fail(text: string): void {
  tell({ kind: "failed", text });
}

function playFlv(): void {
  mpegts.LoggingControl.enableAll = false;
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url },
    { enableStashBuffer: false, liveBufferLatencyChasing: true, liveBufferLatencyMaxLatency: 2, liveBufferLatencyMinRemain: 0.6 },
  );
  player.on(mpegts.Events.ERROR, (_: string, detail: string, info: { code?: number; msg?: string }) =>
    fail(info?.code && info.code > 0 ? `the edge answers ${info.code} ${info.msg ?? ""}` : `${detail}: ${info?.msg ?? ""}`),
  );
  player.attachMediaElement(video);
  player.load();
  void Promise.resolve(player.play()).catch(() => undefined);
}

function playHls(lowLatency: boolean): void {
  if (!Hls.isSupported()) {
    video.src = url; // Safari on a phone plays it by itself
    return;
  }
  const hls = new Hls({ enableWorker: false, lowLatencyMode: lowLatency, liveSyncDurationCount: 2 });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const code = data.response?.code;
    fail(code ? `the edge answers ${code}` : `${data.details}: ${data.error?.message ?? ""}`);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play().catch(() => undefined);
}

window.addEventListener("securitypolicyviolation", (event) =>
  fail(`this page may not ask ${event.blockedURI}: it is no edge that the scheduler knew when it was opened`),
);
video.addEventListener("error", () => fail(`this browser cannot play it: ${video.error?.message || "unknown format"}`));
setInterval(() => {
  const quality = video.getVideoPlaybackQuality();
  const end = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0;
  tell({
    kind: "playing",
    width: video.videoWidth,
    height: video.videoHeight,
    frames: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    bufferS: Math.max(0, end - video.currentTime),
    positionS: video.currentTime,
  });
}, TELL_MS);

if (asked.get("protocol")?.endsWith("flv")) {
  if (mpegts.isSupported()) playFlv();
  else fail("this browser has no Media Source Extensions: choose HLS");
} else playHls(asked.get("protocol") === "ll-hls");
