// What of a picture is not its plain margin.

/** Of 255: what differs from the edge by less belongs to the plain margin. */
const PLAIN = 24;
/** A row of pixels has content where this share of it differs. */
const DENSE = 0.01;
/** A margin that is kept, as a share of the content's longer side. */
const KEPT = 0.03;

/** Pixels as a canvas has them: red, green, blue and opacity of each. */
export interface Pixels {
  data: ArrayLike<number>;
  width: number;
  height: number;
}

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

type Colour = [number, number, number];

const middle = (values: number[]): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 255;

/** Return the median colour of a picture's edge. */
export function edgeColour({ data, width, height }: Pixels): Colour {
  const places: number[] = [];
  for (let x = 0; x < width; x++) places.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) places.push(y * width, y * width + width - 1);
  const channel = (at: number) => middle(places.map((place) => data[4 * place + at] ?? 255));
  return [channel(0), channel(1), channel(2)];
}

/** Return what differs from the edge's colour, with a little margin; all where nothing does. */
export function contentOf(pixels: Pixels, edge: Colour): Box {
  const { width, height } = pixels;
  const rows = new Array<number>(height).fill(0);
  const columns = new Array<number>(width).fill(0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!differs(pixels, edge, x, y)) continue;
      rows[y] = (rows[y] ?? 0) + 1;
      columns[x] = (columns[x] ?? 0) + 1;
    }
  }
  const vertical = filled(rows, width);
  const horizontal = filled(columns, height);
  if (!vertical || !horizontal) return { left: 0, top: 0, right: width, bottom: height };
  const kept = KEPT * Math.max(vertical[1] - vertical[0], horizontal[1] - horizontal[0]);
  return {
    left: Math.max(0, Math.floor(horizontal[0] - kept)),
    top: Math.max(0, Math.floor(vertical[0] - kept)),
    right: Math.min(width, Math.ceil(horizontal[1] + kept)),
    bottom: Math.min(height, Math.ceil(vertical[1] + kept)),
  };
}

/** Return true where a pixel, with those around it, is not as the edge: a grain of noise is. */
function differs({ data, width, height }: Pixels, edge: Colour, x: number, y: number): boolean {
  const [left, right] = [Math.max(0, x - 1), Math.min(width - 1, x + 1)];
  const [top, bottom] = [Math.max(0, y - 1), Math.min(height - 1, y + 1)];
  const count = (right - left + 1) * (bottom - top + 1);
  return edge.some((own, channel) => {
    let sum = 0;
    for (let row = top; row <= bottom; row++) {
      for (let at = left; at <= right; at++) sum += data[4 * (row * width + at) + channel] ?? 255;
    }
    return Math.abs(sum / count - own) > PLAIN;
  });
}

/** Return the first place with content and the one behind the last. */
function filled(counts: number[], length: number): [number, number] | null {
  const limit = Math.max(4, DENSE * length);
  const first = counts.findIndex((count) => count >= limit);
  if (first < 0) return null;
  return [first, counts.findLastIndex((count) => count >= limit) + 1];
}
