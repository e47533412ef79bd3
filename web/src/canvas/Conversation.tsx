import type { Message } from "../api/types";

/** The earlier turns. They are sent with the next prompt. */
export function Conversation(props: { messages: Message[]; onClear: () => void }) {
  return (
    <div class="thread" role="log" aria-label="Conversation" tabIndex={0}>
      {props.messages.map((message) => (
        <div class={`turn ${message.role}`}>
          <span class="small muted">{message.role === "user" ? "You" : "Model"}</span>
          <pre>{message.content}</pre>
        </div>
      ))}
      <div>
        <button type="button" class="button" onClick={props.onClear}>
          New conversation
        </button>
      </div>
    </div>
  );
}
