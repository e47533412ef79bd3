// Images that stand before a prompt. They are sent as data URLs: the server fetches nothing.

import type { Content, Message, ModelInfo } from "../api/types";

export interface PromptImage {
  name: string;
  /** A data URL. */
  url: string;
}

/** Return the media types that a model reads; none for a model of texts alone. */
export const formatsOf = (model: ModelInfo | undefined): string[] =>
  model?.redraft.images?.formats ?? [];

/** Read files as images.
 *
 * @throws an Error for a file of a format that the model does not read.
 */
export function readImages(files: Iterable<File>, formats: string[]): Promise<PromptImage[]> {
  const chosen = [...files];
  const other = chosen.find((file) => !formats.includes(file.type));
  if (other) {
    const known = formats.map((format) => format.replace("image/", "").toUpperCase());
    return Promise.reject(new Error(`${other.name} is no image of ${known.join(", ")}.`));
  }
  return Promise.all(chosen.map(readImage));
}

function readImage(file: File): Promise<PromptImage> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, url: reader.result as string });
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

/** Return the content of a message: its images, and the text behind them. */
export function contentOf(text: string, images: PromptImage[]): Content {
  if (images.length === 0) return text;
  const parts = images.map(({ url }) => ({ type: "image_url" as const, image_url: { url } }));
  return text.trim() ? [...parts, { type: "text" as const, text }] : parts;
}

/** Return the text of a message, and the addresses of its images. */
export function partsOf({ content }: Message): { text: string; images: string[] } {
  if (typeof content === "string") return { text: content, images: [] };
  return {
    text: content.map((part) => (part.type === "text" ? part.text : "")).join(""),
    images: content.flatMap((part) => (part.type === "image_url" ? [part.image_url.url] : [])),
  };
}
