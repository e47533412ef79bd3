import type { Message } from "../api/types";

/** What was said before, where turns are kept. Models that know single tasks are asked anew each time. */
export function Thread({ thread, onChange }: { thread: Message[] | null; onChange: (thread: Message[] | null) => void }) {
  return (
    <div class="thread">
      {thread?.map((message) => (
        <div class={`turn ${message.role}`}>
          <span class="small muted">{message.role === "user" ? "You" : "Model"}</span>
          <pre>{message.content}</pre>
        </div>
      ))}
      <div class="row spread small">
        <label class="row">
          <input type="checkbox" checked={thread !== null} onChange={(event) => onChange(event.currentTarget.checked ? [] : null)} />
          <span class="muted">Remember the turns before</span>
        </label>
        {thread && thread.length > 0 && (
          <button type="button" class="button" onClick={() => onChange([])}>
            New conversation
          </button>
        )}
      </div>
    </div>
  );
}
