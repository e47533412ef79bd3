import type { RefObject } from "preact";
import { forgetErrors } from "../shell/toast";
import type { Editing } from "./useEditor";

interface Props {
  host: RefObject<HTMLDivElement | null>;
  editing: Editing;
}

/** The place of an editor. Where its text could not be opened, it says so. */
export function EditorBox({ host, editing }: Props) {
  const retry = () => {
    forgetErrors();
    editing.retry();
  };
  return (
    <>
      {editing.failed && (
        <div class="row spread" role="status">
          <span>The text could not be opened.</span>
          <button type="button" class="button" onClick={retry}>
            Try again
          </button>
        </div>
      )}
      <div class="code" ref={host} hidden={editing.failed} />
    </>
  );
}
