// The address behind # names the view and its content: Back and bookmarks work without the server.

import { useEffect, useState } from "preact/hooks";

export interface Route {
  view: string;
  rest: string[];
}

export function routeOf(hash: string): Route {
  const [view = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  return { view: view || "canvas", rest };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const hashOf = (...parts: string[]): string =>
  `#/${parts.map(encodeURIComponent).join("/")}`;

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  useEffect(() => {
    const changed = () => setRoute(routeOf(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
