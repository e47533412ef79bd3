// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Candidates } from "../../src/editor/Candidates";
import { Diff } from "../../src/editor/Diff";
import { EditorBox } from "../../src/editor/EditorBox";
import { InstructionInput } from "../../src/editor/InstructionInput";

afterEach(cleanup);

describe("Candidates", () => {
  const result = {
    object: "infill" as const,
    text: "",
    fills: [],
    score: -1,
    candidates: [
      { fills: ["a", "b"], score: -1.25, steps: 2 },
      { fills: [""], score: -3, steps: 3 },
    ],
    usage: { steps: [[2, 3]] },
  };
  const items = () => screen.getAllByRole("listitem").map((item) => item.textContent);

  test("are explained before there are any", () => {
    render(<Candidates candidates={new Map()} result={null} />);
    expect(screen.queryByRole("list")).toBeNull();
  });

  test("are shown by their number while they settle", () => {
    const drafts = new Map([
      [2, "c"],
      [0, "a"],
      [1, "b"],
    ]);
    render(<Candidates candidates={drafts} result={null} />);
    expect(items()).toEqual(["a", "b", "c"]);
    expect(document.querySelector(".best")).toBeNull();
  });

  test("are shown by their score at the end, the best first, with all steps", () => {
    render(<Candidates candidates={new Map([[0, "a"]])} result={result} />);
    expect(items().slice(0, 2)).toEqual(["a … b-1.3", "nothing-3.0"]);
    expect(items()[2]).toContain("5 steps in all");
    expect(document.querySelectorAll(".best")).toHaveLength(1);
    expect(screen.getAllByRole("listitem")[0]?.className).toBe("best");
  });

  test("a text that two widths end at is shown once", () => {
    const twice = [...result.candidates, { fills: ["a", "b"], score: -4, steps: 1 }];
    render(
      <Candidates candidates={new Map([[0, "a"]])} result={{ ...result, candidates: twice }} />,
    );
    expect(items().slice(0, 2)).toEqual(["a … b-1.3", "nothing-3.0"]);
    expect(items()).toHaveLength(3);
  });

  test("the steps of one number are counted too", () => {
    render(
      <Candidates candidates={new Map([[0, "a"]])} result={{ ...result, usage: { steps: 7 } }} />,
    );
    expect(items()[2]).toContain("7 steps in all");
  });
});

describe("EditorBox", () => {
  const editing = {
    view: null,
    file: null,
    text: "",
    failed: false,
    put: () => undefined,
    undo: () => undefined,
    redo: () => undefined,
    retry: () => undefined,
  };

  test("has the editor alone where its text could be opened", () => {
    render(<EditorBox host={{ current: null }} editing={editing} />);
    expect(screen.queryByRole("status")).toBeNull();
  });

  test("offers another try where it could not, in place of an empty editor", () => {
    const retry = vi.fn();
    render(<EditorBox host={{ current: null }} editing={{ ...editing, failed: true, retry }} />);
    expect(screen.getByRole("status").textContent).toContain("could not be opened");
    expect(document.querySelector<HTMLElement>(".code")?.hidden).toBe(true);
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(retry).toHaveBeenCalledOnce();
  });
});

describe("Diff", () => {
  const spans = () =>
    [...document.querySelectorAll(".diff > span")].map((span) => [
      span.className,
      span.textContent.trimEnd(),
    ]);
  const marks = () => [...document.querySelectorAll("mark")].map((mark) => mark.textContent);

  test("shows each line with its sign, and marks the part that differs", () => {
    render(<Diff text={" a\n-x = 0\n+x = 31\n b"} />);
    expect(spans()).toEqual([
      ["", " a"],
      ["taken", "-x = 0"],
      ["added", "+x = 31"],
      ["", " b"],
    ]);
    expect(marks()).toEqual(["0", "31"]);
  });

  test("shows removed and added lines that look like a header", () => {
    render(<Diff text={"--- a rule\n+++ a sum\n+@@"} />);
    expect(spans().map(([, text]) => text)).toEqual(["--- a rule", "+++ a sum", "+@@"]);
  });

  test("marks nothing where several lines change", () => {
    render(<Diff text={"-a\n-b\n+c"} />);
    expect(marks()).toEqual([]);
  });

  test("says where there are no changes", () => {
    render(<Diff text="" />);
    expect(screen.getByText("There are no changes.")).toBeTruthy();
  });
});

describe("InstructionInput", () => {
  const calls = { onChange: vi.fn(), onRun: vi.fn(), onAccept: vi.fn(), onReject: vi.fn() };
  const show = (more: Partial<Parameters<typeof InstructionInput>[0]>) =>
    render(
      <InstructionInput action="fill" small={true} value="" state="ready" {...calls} {...more} />,
    );
  const buttons = () => screen.getAllByRole("button").map((button) => button.textContent);

  test.each([
    ["ready", ["Fill"]],
    ["busy", ["Stop"]],
    ["settled", ["Accept Tab", "Reject Esc"]],
  ] as const)("has the buttons of its state: %s", (state, expected) => {
    show({ state, small: false });
    expect(buttons()).toEqual(expected);
  });

  test("cannot run before the text is there", () => {
    show({ state: "waiting", small: false });
    expect(screen.getByRole("button").hasAttribute("disabled")).toBe(true);
  });

  test("runs on Enter, and on no other key", () => {
    show({});
    const input = screen.getByLabelText("Instruction");
    fireEvent.keyDown(input, { key: "a" });
    expect(calls.onRun).not.toHaveBeenCalled();
    fireEvent.keyDown(input, { key: "Enter" });
    expect(calls.onRun).toHaveBeenCalledTimes(1);
  });

  test("offers a small model's instructions for either action", () => {
    show({});
    fireEvent.click(screen.getByText("fill json"));
    expect(calls.onChange).toHaveBeenLastCalledWith("fill json");
    cleanup();
    calls.onChange.mockClear();
    show({ action: "rewrite" });
    fireEvent.click(screen.getByText("use price"));
    expect(calls.onChange).toHaveBeenCalledExactlyOnceWith("use price");
    cleanup();
    show({ action: "rewrite", small: false });
    expect(buttons()).toEqual(["Rewrite"]);
  });
});
