import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { showError } from "./toast";

/** A view whose code is loaded when it is first drawn, or by `load` before that. */
export function lazily<Props extends object>(fetchView: () => Promise<ComponentType<Props>>) {
  let View: ComponentType<Props> | null = null;
  const load = async () => {
    View ??= await fetchView();
  };
  function Lazy(props: Props) {
    const [state, setState] = useState<"waiting" | "loaded" | "failed">("waiting");
    useEffect(() => {
      if (View) return;
      let current = true;
      load().then(
        () => current && setState("loaded"),
        (error: unknown) => {
          if (!current) return;
          setState("failed");
          showError(error);
        },
      );
      return () => {
        current = false;
      };
    }, []);
    if (View) return <View {...props} />;
    return state === "failed" ? <NotLoaded /> : null;
  }
  return Object.assign(Lazy, { load });
}

/** A browser may keep the failure of an import, so only a new page tries again. */
function NotLoaded() {
  return (
    <div class="card row spread">
      <p>This view could not be loaded. Does the server still run?</p>
      <button type="button" class="button" onClick={() => location.reload()}>
        Load the page again
      </button>
    </div>
  );
}
