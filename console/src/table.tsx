// A list of which only what is seen is on the page: a thousand rows cost as much as thirty.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

export interface Column<T> {
  title: string;
  show: (row: T) => ComponentChildren;
  sort?: (row: T) => string | number;
  wide?: boolean; // left out on a phone
  figure?: boolean;
}

export interface Order {
  column: number;
  descending: boolean;
}

const ROW_PX = 44;
const SPARE_ROWS = 8; // above and below what is seen
const collator = new Intl.Collator("en", { numeric: true });

interface TableProps<T> {
  kind: string; // how wide its columns are
  label: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  empty: string;
  link?: (row: T) => string;
  order?: Order;
}

/** The rows, sorted by a click on a heading; keys go through them: arrows, Page Up and Down, Home, End, Enter. */
export function Table<T>({ kind, label, columns, rows, id, empty, link, order: first }: TableProps<T>): JSX.Element {
  const [order, setOrder] = useState<Order>(first ?? { column: 0, descending: false });
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [active, setActive] = useState("");
  const body = useRef<HTMLDivElement>(null);
  const wanted = useRef(""); // the row that is to have the focus once it is on the page
  const sorted = useMemo(() => {
    const key = columns[order.column]?.sort;
    if (!key) return rows;
    const sign = order.descending ? -1 : 1;
    const keyed = rows.map((row) => ({ row, key: key(row) }));
    keyed.sort((a, b) => sign * (typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : collator.compare(String(a.key), String(b.key))));
    return keyed.map((each) => each.row);
  }, [rows, order]);
  useEffect(() => {
    const element = body.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setHeight(element.clientHeight));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (!wanted.current || wanted.current !== active) return;
    const element = body.current?.querySelector<HTMLElement>('[data-active="true"]');
    if (!element) return;
    wanted.current = "";
    element.focus({ preventScroll: true });
  });
  const from = Math.max(0, Math.floor(top / ROW_PX) - SPARE_ROWS);
  const seen = Math.ceil(height / ROW_PX);
  const shown = sorted.slice(from, from + seen + 2 * SPARE_ROWS);
  const here = sorted.findIndex((row) => id(row) === active);
  const last = sorted.length - 1;

  const go = (to: number): void => {
    const row = sorted[Math.max(0, Math.min(last, to))];
    const element = body.current;
    if (!row || !element) return;
    const at = sorted.indexOf(row) * ROW_PX;
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + ROW_PX > element.scrollTop + element.clientHeight) element.scrollTop = at + ROW_PX - element.clientHeight;
    setTop(element.scrollTop);
    wanted.current = id(row);
    setActive(wanted.current);
  };
  const sortBy = (column: number): void => {
    const again = column === order.column;
    setOrder({ column, descending: again ? !order.descending : Boolean(columns[column]?.figure) }); // of figures the largest first
    body.current?.scrollTo(0, 0);
  };
  const pressed = (event: KeyboardEvent): void => {
    const from = wanted.current ? sorted.findIndex((row) => id(row) === wanted.current) : here; // keys may come faster than rows
    const steps: Record<string, number> = {
      ArrowDown: from + 1,
      ArrowUp: from - 1,
      PageDown: from + seen - 1,
      PageUp: from - seen + 1,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    if (to !== undefined) {
      event.preventDefault();
      go(to);
    } else if (event.key === "Enter" && link && sorted[here] && (event.target as HTMLElement).dataset.active) {
      location.hash = link(sorted[here]);
    }
  };
  const focusable = here >= from && here < from + shown.length ? here : from;
  return (
    <div class={`table ${kind}`} role="table" aria-label={label} aria-rowcount={sorted.length + 1}>
      <div class="row head" role="row" aria-rowindex={1}>
        {columns.map((column, index) => (
          <span
            key={column.title}
            role="columnheader"
            class={cell(column)}
            aria-sort={!column.sort ? undefined : index !== order.column ? "none" : order.descending ? "descending" : "ascending"}
          >
            {column.sort ? (
              <button type="button" onClick={() => sortBy(index)}>
                {column.title}
                <i aria-hidden="true">{index !== order.column ? "" : order.descending ? " ▾" : " ▴"}</i>
              </button>
            ) : (
              column.title
            )}
          </span>
        ))}
      </div>
      <div ref={body} class="body" role={sorted.length ? "rowgroup" : "presentation"} onScroll={(event) => setTop(event.currentTarget.scrollTop)} onKeyDown={pressed}>
        {sorted.length === 0 && <p class="empty">{empty}</p>}
        <div class="all" style={{ height: `${sorted.length * ROW_PX}px` }}>
          {shown.map((row, offset) => (
            <div
              key={id(row)}
              class="row"
              role="row"
              aria-rowindex={from + offset + 2}
              tabIndex={from + offset === focusable ? 0 : -1}
              data-active={id(row) === active}
              style={{ top: `${(from + offset) * ROW_PX}px` }}
              onFocus={() => wanted.current || setActive(id(row))}
            >
              {columns.map((column) => (
                <span key={column.title} role="cell" class={cell(column)}>
                  {column.show(row)}
                </span>
              ))}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

const cell = (column: { wide?: boolean; figure?: boolean }): string => `${column.wide ? "wide " : ""}${column.figure ? "figure" : ""}`;
