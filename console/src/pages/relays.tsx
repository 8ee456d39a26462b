import type { JSX } from "preact";
import { addRelay, endRelay } from "../actions";
import { list, type RelayModel, type RuleModel } from "../api";
import { RELAY_KINDS } from "../kinds";
import { useLive } from "../live";
import { streamLink } from "../router";
import { Table, type Column } from "../table";
import { Problems, State } from "../ui";

const EVERY_MS = 2000;
const RULES_MS = 10_000;

export function RelayTable({ relays, reload, empty }: { relays: RelayModel[]; reload: () => void; empty: string }): JSX.Element {
  const columns: Column<RelayModel>[] = [
    { title: "Stream", show: (relay) => <a href={streamLink(relay.stream)}>{relay.stream}</a>, sort: (relay) => relay.stream },
    { title: "Kind", show: (relay) => relay.kind, sort: (relay) => relay.kind },
    { title: "State", show: (relay) => <State of={relay.state} />, sort: (relay) => relay.state },
    { title: "Where", show: (relay) => <span title={relay.error ?? ""}>{relay.url ?? relay.urls.join(", ")}</span>, wide: true },
    { title: "Edge", show: (relay) => relay.edge ?? "–", sort: (relay) => relay.edge ?? "", wide: true },
    { title: "Why not", show: (relay) => <span title={relay.error ?? ""}>{relay.error ?? ""}</span>, wide: true },
    {
      title: "End",
      show: (relay) =>
        relay.rule ? (
          <span class="quiet" title={`By the rule ${relay.rule}`}>
            by rule
          </span>
        ) : (
          <button type="button" class="danger small" aria-label={`End the relay of ${relay.stream}`} onClick={() => endRelay(relay, reload)}>
            End…
          </button>
        ),
    },
  ];
  return <Table kind="relays" label="Relays" columns={columns} rows={relays} id={(relay) => relay.id} empty={empty} />;
}

const RULES: Column<RuleModel>[] = [
  { title: "Pattern", show: (rule) => rule.pattern, sort: (rule) => rule.pattern },
  { title: "Kind", show: (rule) => rule.kind, sort: (rule) => rule.kind },
  { title: "From", show: (rule) => rule.source, sort: (rule) => rule.source },
  { title: "Where", show: (rule) => rule.urls.join(", "), wide: true },
];

export function RelaysPage(): JSX.Element {
  const relays = useLive("relays", () => list<RelayModel>("/v1/relays"), EVERY_MS, RELAY_KINDS);
  const rules = useLive("rules", () => list<RuleModel>("/v1/relays/rules"), RULES_MS);
  return (
    <>
      <h1>Relays</h1>
      <div class="actions">
        <button type="button" class="primary" onClick={() => addRelay(relays.reload)}>
          New relay…
        </button>
      </div>
      <Problems {...relays} />
      <RelayTable relays={relays.data ?? []} reload={relays.reload} empty={relays.data ? "Nothing is fetched or sent." : "…"} />
      <section aria-label="Rules">
        <h2>Rules</h2>
        <Problems {...rules} />
        <Table kind="rules" label="Rules of relays" columns={RULES} rows={rules.data ?? []} id={(rule) => rule.id} empty={rules.data ? "There are none." : "…"} />
      </section>
    </>
  );
}
