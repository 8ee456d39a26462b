import type { JSX } from "preact";
import type { ClusterEvent } from "./events";
import { clock } from "./format";
import { linkTo } from "./router";

const SAID = ["protocol", "remote_addr", "reason", "alarm", "from", "to", "role"];

/** Events, the newest first. */
export function Feed({ events, own }: { events: ClusterEvent[]; own?: boolean }): JSX.Element {
  if (events.length === 0) return <p class="empty">Nothing has happened of late.</p>;
  return (
    <ol class="feed" tabIndex={0}>
      {events.map((event) => (
        <li key={event.id}>
          <time dateTime={event.at}>{clock(event.at)}</time> <b>{event.event.replaceAll("_", " ")}</b>{" "}
          {event.stream && !own && <a href={linkTo("streams", event.stream.app || "-", event.stream.name)}>{`${event.stream.app}/${event.stream.name}`}</a>}{" "}
          <span class="quiet">
            {[event.node, ...SAID.map((name) => event.data[name])].filter((said) => typeof said === "string" && said).join(" · ")}
          </span>
        </li>
      ))}
    </ol>
  );
}
