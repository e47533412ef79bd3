import { afterEach, describe, expect, test, vi } from "vitest";
import { contentOf, edgeColour, type Pixels } from "../../src/sudoku/crop";
import { doubtOf, readPuzzle } from "../../src/sudoku/picture";
import { apiError, fakeServer, PUZZLE, says, sse, stubStorage } from "../helpers";

/** A plain picture with a rectangle in it. */
function framed(width: number, height: number, box: number[], inside = 30, plain = 230): Pixels {
  const [left = 0, top = 0, right = 0, bottom = 0] = box;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = x >= left && x < right && y >= top && y < bottom ? inside : plain;
      data.set([value, value, value, 255], 4 * (y * width + x));
    }
  }
  return { data, width, height };
}

describe("contentOf", () => {
  test.each([[[40, 60, 140, 160]], [[1, 1, 199, 299]], [[100, 10, 180, 60]]])(
    "finds the rectangle %j",
    (box) => {
      const pixels = framed(200, 300, box);
      const found = contentOf(pixels, edgeColour(pixels));
      const [left = 0, top = 0, right = 0, bottom = 0] = box;
      const kept = 0.03 * Math.max(right - left, bottom - top) + 2;
      expect(found.left).toBeLessThanOrEqual(left);
      expect(found.left).toBeGreaterThanOrEqual(left - kept - 1);
      expect(found.bottom).toBeGreaterThanOrEqual(bottom);
      expect(found.bottom).toBeLessThanOrEqual(bottom + kept + 1);
      expect(found.right).toBeGreaterThanOrEqual(right);
      expect(found.top).toBeLessThanOrEqual(top);
    },
  );

  test("finds a thin frame, and passes over single grains", () => {
    const pixels = framed(120, 120, [30, 30, 90, 90]);
    const data = pixels.data as Uint8ClampedArray;
    for (let y = 31; y < 89; y++) {
      for (let x = 31; x < 89; x++) data.set([230, 230, 230], 4 * (y * 120 + x));
    }
    data.set([0, 0, 0], 4 * (5 * 120 + 5));
    const found = contentOf(pixels, edgeColour(pixels));
    expect(found.left).toBeGreaterThan(24);
    expect(found.top).toBeGreaterThan(24);
    expect(found.right).toBeLessThan(97);
  });

  test("keeps a picture without content whole", () => {
    const pixels = framed(50, 30, [0, 0, 0, 0]);
    const found = contentOf(pixels, edgeColour(pixels));
    expect(found).toEqual({ left: 0, top: 0, right: 50, bottom: 30 });
  });
});

describe("readPuzzle", () => {
  const file = new File(["bytes"], "grid.png", { type: "image/png" });
  afterEach(() => vi.unstubAllGlobals());

  function fakeDrawing() {
    stubStorage("sessionStorage");
    const pixels = framed(90, 90, [5, 5, 85, 85]);
    const context = {
      canvas: { width: 90, height: 90, toDataURL: () => "data:image/png;base64,AAAA" },
      fillRect: vi.fn(),
      drawImage: vi.fn(),
      getImageData: () => pixels,
    };
    const canvas = { getContext: () => context };
    vi.stubGlobal("createImageBitmap", () => Promise.resolve({ width: 90, height: 90 }));
    vi.stubGlobal("document", { createElement: () => canvas });
  }

  test("shows the picture to the model and returns its cells", async () => {
    fakeDrawing();
    const digits = PUZZLE.replaceAll(".", "0");
    const requests = fakeServer(() => sse(says(digits.slice(0, 40)), says(digits.slice(40))));
    expect(await readPuzzle("small-sight", file)).toBe(PUZZLE);
    const body = requests[0]?.body as { model: string; messages: { content: unknown[] }[] };
    expect(body.model).toBe("small-sight");
    expect(body.messages[0]?.content).toEqual([
      { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
      { type: "text", text: "read" },
    ]);
  });

  test("tells what was no puzzle, no picture, and what the server said", async () => {
    fakeDrawing();
    fakeServer(() => sse(says("a cat")));
    await expect(readPuzzle("small-sight", file)).rejects.toThrow("No Sudoku was read in grid.png");
    fakeServer(() => apiError("the model is busy", 503));
    await expect(readPuzzle("small-sight", file)).rejects.toThrow("the model is busy");
    vi.stubGlobal("createImageBitmap", () => Promise.reject(new Error("no")));
    await expect(readPuzzle("small-sight", file)).rejects.toThrow("cannot be read as a picture");
  });

  test("doubts a grid that breaks the rules", () => {
    expect(doubtOf(PUZZLE)).toBeNull();
    expect(doubtOf("5" + "5" + PUZZLE.slice(2))).toContain("marked red");
  });
});
