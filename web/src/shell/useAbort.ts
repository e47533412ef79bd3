import { useEffect, useRef } from "preact/hooks";
import { forgetErrors } from "./toast";

/** An abort signal for each run of a component; the last one is aborted when the component goes. */
export function useAbort(): { signal: () => AbortSignal; abort: () => void } {
  const controller = useRef<AbortController | null>(null);
  const abort = () => controller.current?.abort();
  const signal = () => {
    forgetErrors();
    return (controller.current = new AbortController()).signal;
  };
  useEffect(() => abort, []);
  return { signal, abort };
}
