// A Sudoku in a picture: cut to the grid, made square, and read by a model that sees.

import { generate } from "../api/client";
import { textOf } from "../api/types";
import { contentOf, edgeColour } from "./crop";
import { conflicts, parseGrid } from "./rules";

/** Margins are looked for in a picture whose longer side has so many pixels. */
const LOOKED_AT = 512;
/** The side of the picture that is sent. */
const SIDE = 576;
const MAX_TOKENS = 96;

/** Return a picture without its plain margins, padded to a square, as a data URL. */
export async function squarePicture(file: Blob): Promise<string> {
  const image = await createImageBitmap(file);
  const scale = Math.min(1, LOOKED_AT / Math.max(image.width, image.height));
  const small = drawing(Math.round(image.width * scale), Math.round(image.height * scale));
  small.drawImage(image, 0, 0, small.canvas.width, small.canvas.height);
  const pixels = small.getImageData(0, 0, small.canvas.width, small.canvas.height);
  const edge = edgeColour(pixels);
  const box = contentOf(pixels, edge);
  const [width, height] = [(box.right - box.left) / scale, (box.bottom - box.top) / scale];
  const zoom = SIDE / Math.max(width, height);
  const [across, down] = [width * zoom, height * zoom];
  const square = drawing(SIDE, SIDE, `rgb(${edge.join(" ")})`);
  const [left, top] = [box.left / scale, box.top / scale];
  const place = [(SIDE - across) / 2, (SIDE - down) / 2, across, down] as const;
  square.drawImage(image, left, top, width, height, ...place);
  return square.canvas.toDataURL("image/png");
}

function drawing(width: number, height: number, colour = "white"): CanvasRenderingContext2D {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("This browser cannot draw pictures.");
  // Transparent pixels are laid on it.
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return context;
}

/** Return the puzzle that a model reads in a picture.
 *
 * @throws an Error for a file that is no picture, or a picture in which no puzzle is read.
 */
export async function readPuzzle(model: string, file: File): Promise<string> {
  let url: string;
  try {
    url = await squarePicture(file);
  } catch {
    throw new Error(`${file.name} cannot be read as a picture.`);
  }
  const content = [
    { type: "image_url" as const, image_url: { url } },
    { type: "text" as const, text: "read" },
  ];
  const request = { model, messages: [{ role: "user" as const, content }], max_tokens: MAX_TOKENS };
  let text = "";
  for await (const chunk of generate({ ...request, seed: 0 })) text += textOf(chunk);
  const puzzle = parseGrid(text);
  if (!puzzle) {
    throw new Error(
      `No Sudoku was read in ${file.name}: it must show one grid, upright and nearly to its edges.`,
    );
  }
  return puzzle;
}

/** Return a sentence for a puzzle that was read wrongly, as the rules show; null for a good one. */
export const doubtOf = (puzzle: string): string | null =>
  conflicts(puzzle).size
    ? "Some cells of the picture were read wrongly: correct those that are marked red."
    : null;
