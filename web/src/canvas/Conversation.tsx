import type { Message } from "../api/types";
import { partsOf } from "./images";

/** The earlier turns. They are sent with the next prompt. */
export function Conversation(props: { messages: Message[]; onClear: () => void }) {
  return (
    <div class="thread" role="log" aria-label="Conversation" tabIndex={0}>
      {props.messages.map((message) => (
        <Turn message={message} />
      ))}
      <div>
        <button type="button" class="button" onClick={props.onClear}>
          New conversation
        </button>
      </div>
    </div>
  );
}

function Turn({ message }: { message: Message }) {
  const { text, images } = partsOf(message);
  return (
    <div class={`turn ${message.role}`}>
      <span class="small muted">{message.role === "user" ? "You" : "Model"}</span>
      {images.length > 0 && (
        <div class="row pictures">
          {images.map((url) => (
            <img src={url} alt="Image of this turn" />
          ))}
        </div>
      )}
      <pre>{text}</pre>
    </div>
  );
}
