import { expect, test } from "vitest";
import { hashOf, routeOf } from "../../src/shell/router";

test.each([
  ["", { view: "canvas", rest: [] }],
  ["#", { view: "canvas", rest: [] }],
  ["#/", { view: "canvas", rest: [] }],
  ["#/wiki", { view: "wiki", rest: [] }],
  ["#wiki", { view: "wiki", rest: [] }],
  ["#/wiki/A%20b", { view: "wiki", rest: ["A b"] }],
  ["#/wiki/a/b", { view: "wiki", rest: ["a", "b"] }],
  ["#/wiki/100%", { view: "wiki", rest: ["100%"] }],
])("routeOf(%j)", (hash, route) => {
  expect(routeOf(hash)).toEqual(route);
});

test.each(["Cordunia (full)", "a/b", "100%", "é🙂", "a#b?c", "%20"])(
  "%j comes back from its hash",
  (title) => {
    expect(routeOf(hashOf("wiki", title))).toEqual({ view: "wiki", rest: [title] });
  },
);
