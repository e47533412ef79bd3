import type { Message } from "../api/types";

/** What was said before, where turns are kept. Models that know single tasks are asked anew each time. */
export function Thread({ thread, onClear }: { thread: Message[]; onClear: () => void }) {
  return (
    <div class="thread" role="log" aria-label="Conversation" tabIndex={0}>
      {thread.map((message) => (
        <div class={`turn ${message.role}`}>
          <span class="small muted">{message.role === "user" ? "You" : "Model"}</span>
          <pre>{message.content}</pre>
        </div>
      ))}
      <div>
        <button type="button" class="button" onClick={onClear}>
          New conversation
        </button>
      </div>
    </div>
  );
}
