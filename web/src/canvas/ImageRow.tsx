import type { PromptImage } from "./images";

interface Props {
  images: PromptImage[];
  onRemove: (at: number) => void;
}

/** The images before a prompt, each with a button that takes it away. */
export function ImageRow({ images, onRemove }: Props) {
  if (images.length === 0) return null;
  return (
    <ul class="row pictures" aria-label="Images of the prompt">
      {images.map(({ name, url }, at) => (
        <li>
          <img src={url} alt={name} />
          <button
            type="button"
            class="chip"
            aria-label={`Remove ${name}`}
            onClick={() => onRemove(at)}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

interface PickerProps {
  label?: string;
  look?: "chip" | "button";
  formats: string[];
  onFiles: (files: File[]) => void;
}

/** A button that opens a choice of image files. */
export function ImagePicker(props: PickerProps) {
  const { label = "Add an image", look = "chip", formats, onFiles } = props;
  return (
    <label class={`${look} picker`}>
      {label}
      <input
        type="file"
        class="hidden"
        multiple
        accept={formats.join(",")}
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </label>
  );
}
