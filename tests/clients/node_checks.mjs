// Pieces that the checks of clients in JavaScript share.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import zlib from "node:zlib";

const words = JSON.parse(readFileSync(new URL("./words.json", import.meta.url), "utf8"));

/** The client has no call for it, or loses it by itself; the message says which. */
export class Cannot extends Error {}

export const cannot = (reason) => () => {
  throw new Cannot(reason);
};

export function same(found, expected = words.hello) {
  if (!isDeepStrictEqual(found, expected)) throw new Error(`got ${JSON.stringify(found)}`.slice(0, 300));
}

export function record(value) {
  if (!["ann", "bob"].includes(value.name) || !Number.isInteger(value.age)) throw new Error(JSON.stringify(value));
}

export async function fails(call) {
  try {
    await call();
  } catch (error) {
    if (String(error).includes("other")) return;
    throw error;
  }
  throw new Error("no error was raised");
}

const visit = (city) => ({ weather: `sun in ${city}`, people: `${[...city].length} people in ${city}` });
export const runTool = (name, given) => visit(given.city)[name];
export const journey = ({ cities }) => cities.flatMap((city) => Object.values(visit(city))).join("; ");

/** A grey image of 48 by 48 pixels, as a PNG file in base64. */
export function png(shade) {
  const number = (value) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    return bytes;
  };
  const chunk = (kind, data) => {
    const whole = Buffer.concat([Buffer.from(kind), data]);
    return Buffer.concat([number(data.length), whole, number(zlib.crc32(whole))]);
  };
  const head = Buffer.concat([number(48), number(48), Buffer.from([8, 0, 0, 0, 0])]);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(48, shade)]);
  const rows = zlib.deflateSync(Buffer.concat(Array(48).fill(row)));
  const begin = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const file = [begin, chunk("IHDR", head), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat(file).toString("base64");
}
