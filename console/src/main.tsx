// The console: where one is says which page is shown.

import { render, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, token, type OwnTokenModel } from "./api";
import { startEvents, useConnected, useLive } from "./live";
import { NodePage } from "./pages/node";
import { NodesPage } from "./pages/nodes";
import { Overview } from "./pages/overview";
import { RelaysPage } from "./pages/relays";
import { SessionsPage } from "./pages/sessions";
import { StreamPage } from "./pages/stream";
import { StreamsPage } from "./pages/streams";
import { linkTo, usePath } from "./router";
import { Dialogs, Notes, askToken } from "./ui";

const THEMES = ["auto", "light", "dark"];
const THEME = "lalmesh-theme";
const PAGES: [string, string][] = [
  ["", "Overview"],
  ["nodes", "Nodes"],
  ["streams", "Streams"],
  ["sessions", "Sessions"],
  ["relays", "Relays"],
];
const OWN_MS = 30_000;

function Page({ path }: { path: string[] }): JSX.Element {
  const [page, first, second] = path;
  switch (page) {
    case "nodes":
      return first ? <NodePage key={first} name={first} /> : <NodesPage />;
    case "streams":
      return first && second ? <StreamPage key={`${first}/${second}`} app={first} name={second} /> : <StreamsPage />;
    case "sessions":
      return <SessionsPage />;
    case "relays":
      return <RelaysPage />;
    default:
      return <Overview />;
  }
}

function Theme(): JSX.Element {
  const [theme, setTheme] = useState(localStorage.getItem(THEME) ?? "auto");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME, theme);
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return (
    <button type="button" onClick={() => setTheme(next)} aria-label={`Colours: ${theme}. Change to ${next}`} title="Colours">
      {theme === "auto" ? "◐" : theme === "light" ? "☀" : "☾"}
    </button>
  );
}

function Own(): JSX.Element {
  const own = useLive("own", () => get<OwnTokenModel>("/v1/whoami"), OWN_MS);
  const role = own.data?.role ?? "";
  const text = !own.data ? "Token" : own.data.name ? `${own.data.name} (${role})` : own.data.tokens ? "Token" : role;
  const wrong = Boolean(token.get() && own.data && !own.data.name && own.data.tokens);
  return (
    <button type="button" class={wrong ? "danger" : ""} onClick={() => askToken(own.reload)}>
      {wrong ? "This token is none" : text}
    </button>
  );
}

function App(): JSX.Element {
  const path = usePath();
  const connected = useConnected();
  const main = useRef<HTMLElement>(null);
  const begun = useRef(false);
  const page = PAGES.find(([name]) => name === (path[0] ?? "")) ?? PAGES[0]!;
  useEffect(() => {
    document.title = `${path.slice(1).join("/") || page[1]} · lalmesh`;
    if (begun.current) main.current?.focus({ preventScroll: true });
    begun.current = true;
    scrollTo(0, 0);
  }, [path.join("/")]);
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to content
      </a>
      <header>
        <a class="brand" href={linkTo()} aria-label="lalmesh, overview">
          <span aria-hidden="true">▶</span> lalmesh
        </a>
        <nav aria-label="Pages">
          {PAGES.map(([name, title]) => (
            <a key={name} href={linkTo(name)} aria-current={name === page[0] ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <div class="tools">
          <span class={`live ${connected ? "on" : ""}`} role="status" title={connected ? "Events come as they happen" : "No events come now"}>
            {connected ? "live" : "not live"}
          </span>
          <Own />
          <Theme />
        </div>
      </header>
      <main ref={main} id="content" tabIndex={-1}>
        <Page path={path} />
      </main>
      <Notes />
      <Dialogs />
    </>
  );
}

startEvents();
render(<App />, document.getElementById("app")!);
