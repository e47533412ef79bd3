"""llama.vim itself, in a Vim without a screen: `python -m tests.clients.vim_client URL FOLDER`.

FOLDER holds the plugin. Prints one JSON object, as python_clients.py does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.checking import KEY, URL, Checks, cannot, same
from tests.clients.install import COMMIT
from tests.clients.python_clients import tried
from tests.clients.words import WORDS

SCRIPT = Path(__file__).parent / "llama_vim.vim"
OTHERS = ("stream", "tools", "structured", "nested", "nested tool", "loop", "images", "reasoning")


def vim(check: str, said: str = "", **config: object) -> str:
    """Return what a check wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        given = {
            "endpoint_fim": f"{URL}/infill", "endpoint_inst": f"{URL}/v1/chat/completions",
            "api_key": KEY, "n_predict": 8, "t_max_predict_ms": 9000, "auto_fim": 0,
        } | config  # fmt: skip
        names = {"plugin": sys.argv[2], "check": check, "out": str(out), "llama_config": given}
        lines = [
            f"let g:{name} = json_decode('{json.dumps(value)}')" for name, value in names.items()
        ]
        (Path(folder) / "run.vim").write_text("\n".join([*lines, f"source {SCRIPT}"]))
        command = ["vim", "-Nu", "NONE", "-es", "-S", str(Path(folder) / "run.vim")]
        subprocess.run(
            command,
            input=f"{said}\n",
            text=True,
            timeout=120,
            check=False,
            stdout=subprocess.DEVNULL,
        )
        return out.read_text(encoding="utf-8").rstrip("\n")


def checks() -> Checks:
    def infill() -> None:
        found = json.loads(vim("infill"))
        same([type(found["content"]), found["truncated"]], [str, False])

    odd = WORDS["odd_text"].replace("\\n", "")
    return {name: cannot("an editor's completions have none") for name in OTHERS} | {
        "chat": lambda: same(vim("instruct", WORDS["ask"])), "infill": infill,
        "stream": lambda: same(vim("instruct", WORDS["ask"])),
        "adapter": lambda: same(vim("instruct", WORDS["ask"], model_inst=WORDS["adapter"]), WORDS["formal"]),
        "unicode": lambda: same(vim("instruct", f"{WORDS['repeat']}{odd}"), odd),
        "errors": cannot("it shows nothing"), "usage": cannot("it asks for none"),
        "options": cannot("it sends neither"),
    }  # fmt: skip


def main() -> None:
    print(json.dumps({"llama.vim": {"version": COMMIT} | tried(checks())}))


if __name__ == "__main__":
    main()
