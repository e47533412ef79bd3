// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { lazily } from "../../src/shell/lazy";
import { Toasts } from "../../src/shell/toast";

afterEach(cleanup);

const Named = ({ name }: { name: string }) => <h1>{name}</h1>;

test("a view is loaded once, and drawn with what it was given", async () => {
  const fetchView = vi.fn(() => Promise.resolve(Named));
  const View = lazily(fetchView);
  const { rerender } = render(<View name="a" />);
  expect(screen.queryByRole("heading")).toBeNull();
  expect((await screen.findByRole("heading")).textContent).toBe("a");
  rerender(<View name="b" />);
  expect(screen.getByRole("heading").textContent).toBe("b");
  expect(fetchView).toHaveBeenCalledTimes(1);
});

test("a view that was loaded before is there at once", async () => {
  const View = lazily(() => Promise.resolve(Named));
  await View.load();
  render(<View name="a" />);
  expect(screen.getByRole("heading").textContent).toBe("a");
});

test("a view that cannot be loaded says so, and offers to try again", async () => {
  const View = lazily(() => Promise.reject<typeof Named>(new Error("no such file")));
  render(
    <>
      <View name="a" />
      <Toasts />
    </>,
  );
  expect(await screen.findByText(/could not be loaded/)).toBeTruthy();
  expect(screen.getByRole("button", { name: "Load the page again" })).toBeTruthy();
  expect(screen.getByRole("alert").textContent).toContain("no such file");
});
