// Where one is, behind the # of the URL: any server can serve it, and a link leads there again.

import { useEffect, useState } from "preact/hooks";

export const linkTo = (...parts: string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;

export const streamLink = (stream: string): string => {
  const cut = stream.lastIndexOf("/");
  return linkTo("streams", stream.slice(0, cut), stream.slice(cut + 1));
};

function where(): string[] {
  const path = location.hash.replace(/^#\/?/, "").split("?")[0] ?? "";
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return [""];
  }
}

export function usePath(): string[] {
  const [path, setPath] = useState(where);
  useEffect(() => {
    const moved = (): void => setPath(where());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return path;
}
