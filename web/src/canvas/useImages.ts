import { useState } from "preact/hooks";
import { showError } from "../shell/toast";
import { readImages, type PromptImage } from "./images";

export type Images = ReturnType<typeof useImages>;

/** The images before a prompt; `formats` are those that the model reads. */
export function useImages(formats: string[]) {
  const [images, setImages] = useState<PromptImage[]>([]);
  const add = async (files: Iterable<File>) => {
    try {
      const read = await readImages(files, formats);
      setImages((before) => [...before, ...read]);
    } catch (error) {
      showError(error);
    }
  };
  const remove = (at: number) => setImages((before) => before.filter((_, other) => other !== at));
  return { list: images, formats, add, remove, clear: () => setImages([]) };
}
