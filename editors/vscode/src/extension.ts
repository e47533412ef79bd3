// The commands: fill at the cursor, rewrite the selection, accept, reject.

import * as vscode from "vscode";
import { Drafting } from "./core/drafting";
import { placeIn, requestFor } from "./core/place";
import { chooseModel, edit, isAbort, listModels, type Connection } from "./core/server";
import { EditorSurface } from "./surface";

const KEY = "redraft.key";
let current: { drafting: Drafting; surface: EditorSurface } | null = null;

export function activate(context: vscode.ExtensionContext): void {
  const commands: Record<string, () => unknown> = {
    "redraft.fill": () => begin(context, null),
    "redraft.rewrite": () => rewrite(context),
    "redraft.accept": () => current?.drafting.accept(),
    "redraft.reject": () => current?.drafting.reject(),
    "redraft.setKey": () => setKey(context),
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, run));
  }
  context.subscriptions.push(
    // Whoever types on takes the draft as it stands.
    vscode.workspace.onDidChangeTextDocument((event) => {
      const drafted = current?.surface;
      if (drafted && event.document === drafted.document && !drafted.writing) {
        if (event.contentChanges.length > 0) current?.drafting.accept();
      }
    }),
  );
}

export async function deactivate(): Promise<void> {
  await current?.drafting.reject();
}

async function rewrite(context: vscode.ExtensionContext): Promise<void> {
  const instruction = await vscode.window.showInputBox({
    title: "Rewrite the selection",
    prompt: "What shall change?",
  });
  if (instruction) await begin(context, instruction);
}

/** Draft in the selection of the active editor, and follow until it has settled. */
async function begin(context: vscode.ExtensionContext, instruction: string | null): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) return;
  await current?.drafting.reject();
  const settings = vscode.workspace.getConfiguration("redraft");
  const { document, selection } = editor;
  const range = instruction === null ? new vscode.Range(selection.active, selection.active) : selection;
  const text = document.getText();
  const place = placeIn(
    text,
    document.offsetAt(range.start),
    document.offsetAt(range.end),
    settings.get("contextCharacters", 8000),
  );
  const surface = new EditorSurface(editor, range, () => {
    current = null;
    void vscode.commands.executeCommand("setContext", "redraft.drafting", false);
  });
  const drafting = new Drafting(place, surface);
  current = { drafting, surface };
  await vscode.commands.executeCommand("setContext", "redraft.drafting", true);
  try {
    const connection = await connectionOf(context, settings);
    const task = instruction === null ? "infill" : "rewrite";
    const model = chooseModel(await listModels(connection), settings.get("model", ""), task);
    const body = requestFor(place, {
      model,
      maxTokens: settings.get("maxTokens", 64),
      timeoutMs: settings.get("timeoutMs", 10000),
      instruction,
    });
    await drafting.follow(edit(connection, body, drafting.signal));
    const bound = drafting.complete ? "" : " (time is over: this is the best draft)";
    if (drafting.state === "settled") {
      vscode.window.setStatusBarMessage(`redraft: Tab accepts, Escape rejects${bound}`, 5000);
    }
  } catch (error) {
    await drafting.reject();
    if (!isAbort(error)) {
      void vscode.window.showErrorMessage(error instanceof Error ? error.message : String(error));
    }
  }
}

async function connectionOf(
  context: vscode.ExtensionContext,
  settings: vscode.WorkspaceConfiguration,
): Promise<Connection> {
  const url = settings.get("url", "http://127.0.0.1:8000");
  return { url, key: await context.secrets.get(KEY), fetch };
}

async function setKey(context: vscode.ExtensionContext): Promise<void> {
  const key = await vscode.window.showInputBox({ title: "The server's key", password: true });
  if (key === undefined) return;
  await (key ? context.secrets.store(KEY, key) : context.secrets.delete(KEY));
}
