// Plays one stream and tells how it goes. The test calls start(), then observe(); what is good enough is decided there.
"use strict";

const video = document.getElementById("video");
const SAMPLE_MS = 200;
const LEAP_S = 1; // much more than between two events of a player that plays
const HOLE_S = 0.2; // so near its end a range counts as over: sound and picture do not end at one time

const notes = []; // what the player said, in order
let fatal = null; // the first error that it does not get over by itself
let endWaiting;
const failed = new Promise((resolve) => (endWaiting = resolve));
let behindLive = () => null; // seconds from the program date-time on the screen to now, where a player knows it

function note(text) {
  notes.push(`${(performance.now() / 1000).toFixed(2)} s: ${text}`);
}

function fail(text) {
  fatal ??= text;
  note(`fatal: ${text}`);
  endWaiting();
}

// hls.js: a playlist of MPEG-TS or fMP4 segments, part by part or only whole ones.
function playHls(url, options) {
  const hls = new Hls(options);
  hls.on(Hls.Events.ERROR, (_, data) => {
    const text = `${data.type} ${data.details} ${data.error?.message ?? ""} ${data.response?.code ?? ""} ${data.url ?? ""}`;
    data.fatal ? fail(text) : note(text);
  });
  behindLive = () => (hls.playingDate ? (Date.now() - hls.playingDate.getTime()) / 1000 : null);
  hls.loadSource(url);
  hls.attachMedia(video);
}

// mpegts.js: an endless FLV or MPEG-TS, over HTTP or over a WebSocket as the URL says. It gets over no error, and over holes its
// page has to help it.
function playMpegts(url, type) {
  const player = mpegts.createPlayer({ type, url, isLive: true });
  player.on(mpegts.Events.ERROR, (kind, detail, info) => fail(`${kind} ${detail} ${JSON.stringify(info)}`));
  player.on(mpegts.Events.LOADING_COMPLETE, () => fail("the stream ended"));
  player.attachMediaElement(video);
  video.addEventListener("progress", skipHole);
  player.load();
}

// fMP4 without a library: what comes is appended in order, and the picture begins where the first fragment does.
class Appender {
  #source = new MediaSource();
  #buffer = null;
  #waiting = []; // of functions that do one thing to the SourceBuffer

  constructor() {
    video.src = URL.createObjectURL(this.#source);
    this.opened = new Promise((resolve) => this.#source.addEventListener("sourceopen", resolve, { once: true }));
  }

  begin(mime) {
    note(mime);
    if (this.#buffer) {
      this.#do(() => this.#buffer.changeType(mime));
      return;
    }
    this.#buffer = this.#source.addSourceBuffer(mime);
    this.#buffer.addEventListener("updateend", () => this.#next());
    this.#buffer.addEventListener("error", () => fail(`the SourceBuffer: ${video.error?.message ?? "error"}`));
  }

  append(bytes) {
    if (!fatal) this.#do(() => this.#buffer.appendBuffer(bytes));
  }

  #do(step) {
    this.#waiting.push(step);
    if (!this.#buffer.updating) this.#next();
  }

  #next() {
    skipHole();
    while (this.#waiting.length && !this.#buffer.updating) attempt(this.#waiting.shift());
  }
}

// Where nothing is buffered now and something is later, go there: before the first fragment, and where units are missing.
function skipHole() {
  const { buffered, currentTime } = video;
  const starts = Array.from(buffered, (_, index) => buffered.start(index));
  const inside = starts.some((start, index) => start <= currentTime && currentTime < buffered.end(index) - HOLE_S);
  const next = starts.find((start) => start > currentTime);
  if (!inside && next !== undefined) video.currentTime = next;
}

function attempt(step) {
  try {
    step();
  } catch (error) {
    fail(String(error));
  }
}

async function playHttpFmp4(url) {
  const appender = new Appender();
  const [answer] = await Promise.all([fetch(url), appender.opened]);
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  appender.begin(answer.headers.get("Content-Type"));
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream ended");
    appender.append(value);
  }
}

async function playWebSocketFmp4(url) {
  const appender = new Appender();
  await appender.opened;
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) =>
    attempt(() => (typeof data === "string" ? appender.begin(JSON.parse(data).mime) : appender.append(data))),
  );
  socket.addEventListener("close", ({ code, reason }) => fail(`the WebSocket closed: ${code} ${reason}`));
}

const PLAYERS = {
  "hls.js": (url) => playHls(url, { lowLatencyMode: false }),
  "hls.js low latency": (url) => playHls(url, { lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.5 }),
  "mpegts.js flv": (url) => playMpegts(url, "flv"),
  "mpegts.js ts": (url) => playMpegts(url, "mpegts"),
  "fetch fmp4": playHttpFmp4,
  "websocket fmp4": playWebSocketFmp4,
};

video.addEventListener("error", () => fail(`the video element: ${video.error.code} ${video.error.message}`));
video.addEventListener("waiting", () => note(`waits at ${position()}`));
video.addEventListener("seeking", () => note(`seeks to ${position()}`));

function position() {
  const { buffered, currentTime } = video;
  const ranges = Array.from(buffered, (_, index) => `${buffered.start(index).toFixed(3)}-${buffered.end(index).toFixed(3)}`);
  return `${currentTime.toFixed(3)}, buffered ${ranges.join(" ") || "nothing"}`;
}

async function play(player, url) {
  try {
    await PLAYERS[player](url);
  } catch (error) {
    fail(String(error));
  }
}

function sample(started) {
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    at_s: (performance.now() - started) / 1000,
    position_s: video.currentTime,
    frames: totalVideoFrames,
    dropped: droppedVideoFrames,
    behind_live_s: behindLive(),
    width: video.videoWidth,
    height: video.videoHeight,
    ahead_s: video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0,
  };
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Resolves when the position goes on, not in one leap: a first picture may be shown long before, and a seek is no playing.
function goesOn() {
  return new Promise((resolve) => {
    let before = Infinity;
    video.addEventListener("timeupdate", () => {
      const went_s = video.currentTime - before;
      if (0 < went_s && went_s < LEAP_S) resolve();
      before = video.currentTime;
    });
  });
}

// Play `url`. Resolves once it plays, after how many seconds it says, or with a fatal error; not playing in `limitSeconds` is one.
async function start(player, url, limitSeconds) {
  const asked = performance.now();
  const decided = Promise.race([goesOn(), failed]).then(() => true);
  play(player, url);
  const late = sleep(limitSeconds * 1000).then(() => false);
  if (!(await Promise.race([decided, late]))) fail(`it does not play in ${limitSeconds} s`);
  return (performance.now() - asked) / 1000;
}

// How it goes over the next `seconds`; ends early with a fatal error.
async function observe(seconds) {
  const started = performance.now();
  const samples = [sample(started)];
  while (!fatal && samples.at(-1).at_s < seconds) {
    await sleep(SAMPLE_MS);
    samples.push(sample(started));
  }
  return { fatal, notes, samples };
}
