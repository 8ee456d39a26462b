// Lines and bars of the last seconds.

import type { JSX } from "preact";

export interface Point {
  atS: number;
  value: number;
}

interface ChartProps {
  title: string;
  points: Point[];
  show: (value: number) => string;
  bars?: boolean;
  spanS: number;
}

const WIDTH = 320;
const HEIGHT = 90;

/** A chart with its newest figure in words, which is all that a screen reader needs of it. */
export function Chart({ title, points, show, bars, spanS }: ChartProps): JSX.Element {
  const last = points.at(-1);
  const most = Math.max(1e-9, ...points.map((point) => point.value)) * 1.1;
  const endS = last?.atS ?? 0;
  const x = (atS: number): number => WIDTH - ((endS - atS) / spanS) * WIDTH;
  const y = (value: number): number => HEIGHT - (value / most) * HEIGHT;
  const line = points.map((point, index) => `${index ? "L" : "M"}${x(point.atS).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const width = Math.max(2, (WIDTH / spanS) * 0.8);
  return (
    <figure class="chart">
      <figcaption>
        {title} <b>{last ? show(last.value) : "–"}</b>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title}: ${last ? show(last.value) : "nothing known"}, at most ${show(points.length ? most / 1.1 : 0)}`}
        data-points={points.length}
      >
        <path class="axis" d={`M0 ${HEIGHT - 0.5}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}`} />
        {bars
          ? points.map((point) => (
              <rect key={point.atS} x={x(point.atS) - width} y={y(point.value)} width={width} height={HEIGHT - y(point.value)}>
                <title>{`${new Date(point.atS * 1000).toLocaleTimeString("en-GB")}: ${show(point.value)}`}</title>
              </rect>
            ))
          : points.length > 1 && (
              <>
                <path class="area" d={`${line}L${WIDTH} ${HEIGHT}L${x(points[0]!.atS).toFixed(1)} ${HEIGHT}Z`} />
                <path class="line" d={line} />
              </>
            )}
      </svg>
      <p class="scale">
        <span>{`${spanS >= 120 ? `${spanS / 60} min` : `${spanS} s`} ago`}</span>
        <span>{points.length ? `top ${show(most)}` : ""}</span>
        <span>now</span>
      </p>
    </figure>
  );
}
