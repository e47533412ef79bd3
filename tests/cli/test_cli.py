from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pyte
import pytest
from rich.console import Console

import redraft
from redraft.cli.generate import _prompt_options
from redraft.cli.view import CommittedText, printable
from redraft.errors import ConfigError
from tests.command import COMMAND, call

# A bias that leaves the byte tokenizer its printable characters.
PRINTABLE = {token: -40.0 for token in range(384) if token not in range(161, 255)}


def test_generate_json_is_the_api(checkpoint: Path) -> None:
    done = call(
        "generate",
        "-m",
        str(checkpoint),
        "-p",
        "hello",
        "--seed",
        "3",
        "--max-new-tokens",
        "20",
        "--json",
        "-s",
        "max_denoising_steps=4",
        "-s",
        "top_p=0.9",
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    finished = redraft.load(checkpoint).generate(
        messages=[{"role": "user", "content": "hello"}],
        seed=3,
        max_new_tokens=20,
        max_denoising_steps=4,
        top_p=0.9,
    )
    assert printed["tokens"] == list(finished.tokens)
    assert printed["text"] == finished.text
    assert printed["statistics"]["steps_per_canvas"] == list(finished.statistics.steps_per_canvas)


def test_generate_with_a_sampler_is_the_api(checkpoint: Path) -> None:
    done = call(
        "generate",
        "-m",
        str(checkpoint),
        "-p",
        "hello",
        "--raw",
        "--seed",
        "3",
        "--max-new-tokens",
        "20",
        "--sampler",
        "confidence:threshold=0.4",
        "--stopping",
        "stable_and_confident:stability_threshold=0",
        "-s",
        "max_denoising_steps=4",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    finished = redraft.load(checkpoint).generate(
        "hello",
        seed=3,
        max_new_tokens=20,
        max_denoising_steps=4,
        sampler={"name": "confidence", "threshold": 0.4},
        stopping="stable_and_confident:stability_threshold=0",
    )
    assert json.loads(done.stdout)["tokens"] == list(finished.tokens)


@pytest.mark.parametrize("method", ["--typewriter", "--method=autoregressive"])
def test_generate_raw_and_autoregressive_from_a_pipe(checkpoint: Path, method: str) -> None:
    options = ("--raw", method, "--seed", "1", "--max-new-tokens", "9")
    done = call("generate", "-m", str(checkpoint), *options, stdin="piped text")
    assert done.returncode == 0, done.stderr
    finished = redraft.load(checkpoint).generate(
        "piped text", method="autoregressive", seed=1, max_new_tokens=9
    )
    assert done.stdout == finished.text + "\n"
    assert "seed 1" in done.stderr


SWITCHED = "{{ 'thinks ' if enable_thinking else '' }}{{ messages[0].content }}"
TURN = "<|turn>x"


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        (["--thinking"], len("thinks ") + len(TURN)),
        (["--control-tokens", "--no-thinking"], 2),
        (["--raw", "--no-bos"], 2),
    ],
)
def test_options_say_how_a_prompt_is_made(
    checkpoint: Path, tmp_path: Path, options: list[str], tokens: int
) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "switched")
    (folder / "chat_template.jinja").write_text(SWITCHED)
    quick = ["--max-new-tokens", "1", "--seed", "1", "-s", "max_denoising_steps=1", "--json"]
    done = call("generate", "-m", str(folder), "-p", TURN, *quick, *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["statistics"]["prompt_tokens"] == tokens


@pytest.mark.parametrize(
    "options", [(True, False, True, False), (True, False, None, True), (False, True, None, False)]
)
def test_options_of_a_chat_do_not_go_with_a_raw_prompt(options: tuple[bool, ...]) -> None:
    with pytest.raises(ConfigError, match="--raw"):
        _prompt_options(*options)


def test_what_comes_in_must_be_text(checkpoint: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "generate", "-m", str(checkpoint), "-p", "-"],
        input=b"\xff\xfe",
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert b"not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", ""], "nothing to write"),
        (["-p", "x", "-s", "topp=1"], "topp"),
        (["-p", "x", "-s", "top_p=high"], "high"),
        (["-p", "x", "-s", "top_p"], "NAME=VALUE"),
        (["-p", "x", "-s", "entropy_bound=-1"], "entropy_bound"),
        (["-p", "x", "--max-new-tokens", "0"], "max_new_tokens"),
        (["-p", "x", "--dtype", "int3"], "int3"),
        (["-p", "x", "--sampler", "klas"], "did you mean 'klass'"),
        (["-p", "x", "--sampler", "confidence:treshold=1"], "did you mean 'threshold'"),
        (["-p", "x", "--stopping", "stable_and_confident:x"], "option=number"),
        (["-p", "x" * 600], "shorten the prompt"),
        (["-p", "x", "--device", "cuda:77"], "cuda:77"),
        (["-p", "x", "--device", "foo"], "foo"),
        (["-p", "x", "-s", "stop=5"], "stop=5"),
        (["-p", "x", "-s", "eos_token_id=null"], "eos_token_id=None"),
        (["-p", "x", "-s", "logit_bias=5"], "logit_bias=5"),
        (["-p", "x", "-s", 'logit_bias={"a":1}'], "'a'"),
        (["-p", "x", "-s", "max_denoising_steps=99999999999999999999"], "max_denoising_steps"),
    ],
)
def test_mistakes_are_one_line_on_stderr_and_status_2(
    checkpoint: Path, arguments: list[str], message: str
) -> None:
    done = call("generate", "-m", str(checkpoint), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("redraft: ")


def test_inspect_describes_without_loading(checkpoint: Path) -> None:
    done = call("inspect", str(checkpoint), "--json", "--context", "100", "--tensors")
    described = json.loads(done.stdout)
    network = redraft.load(checkpoint).network
    assert (
        described["total_parameters"] == sum(p.numel() for p in network.parameters()) + 2 * 4
    )  # and the scalars
    assert described["kv_cache_bytes"] == network.new_cache(100).nbytes()
    parts = ("weights", "kv_cache", "activations", "vocabulary")
    assert described["total_bytes"] == sum(described[f"{part}_bytes"] for part in parts)
    assert described["tensors"]["model.decoder.norm.weight"]["shape"] == [32]
    assert described["fits"]["RTX 5090"] is True
    table = call("inspect", str(checkpoint))
    assert "2 sliding (window 8), 2 full" in table.stdout


def test_help_and_version() -> None:
    assert "generate" in call("--help").stdout
    assert redraft.__version__ in call("--version").stdout


class Terminal:
    """A command on a terminal of 100 columns, and the screen that a person would see."""

    def __init__(self, *arguments: str, typed: bytes = b"") -> None:
        self.controller, terminal = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        # Whoever runs the tests in the background of a shell has them ignore interrupts, and all
        # that they start.
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(terminal)
        os.write(self.controller, typed)
        self.screen = pyte.Screen(100, 40)
        self._stream = pyte.ByteStream(self.screen)
        self.drawn = b""

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def read(self) -> bool:
        """Draw what has come; False at the end."""
        try:
            part = os.read(self.controller, 4096)
        except OSError:
            part = b""
        self.drawn += part
        self._stream.feed(part)
        return bool(part)

    def finish(self) -> int:
        while self.read():
            pass
        return self.process.wait(timeout=60)


def joined(screen: str) -> str:
    """A screen's lines as the text that was wrapped into them, white space aside."""
    return "".join(screen.split())


def test_a_person_sees_tokens_settle_and_in_the_end_the_whole_text(checkpoint: Path) -> None:
    settings = {
        "seed": 3,
        "max_new_tokens": 150,
        "eos_token_id": [],
        "logit_bias": PRINTABLE,
        "max_denoising_steps": 3,
    }
    options = [
        word for name, value in settings.items() for word in ("-s", f"{name}={json.dumps(value)}")
    ]
    terminal = Terminal("generate", "-m", str(checkpoint), "-p", "hello", *options)
    seen: set[str] = set()
    while terminal.read():
        seen |= {
            word for word in ("settled", "revised", "in doubt", "canvas") if word in terminal.text
        }
    assert terminal.finish() == 0
    assert len(seen) == 4
    text = (
        redraft.load(checkpoint)
        .generate(messages=[{"role": "user", "content": "hello"}], **settings)
        .text
    )
    assert len(text) == 150
    assert joined(text) in joined(terminal.text)
    assert "seed 3" in terminal.text
    assert "settled" not in terminal.text  # the canvas is gone, the text stays


def test_an_interrupt_leaves_what_was_committed(checkpoint: Path) -> None:
    # No canvas settles before its last step: the text is long from done when the interrupt comes,
    # on any machine.
    settings = {"eos_token_id": [], "logit_bias": PRINTABLE, "stability_threshold": 48}
    options = [
        word for name, value in settings.items() for word in ("-s", f"{name}={json.dumps(value)}")
    ]
    terminal = Terminal(
        "generate",
        "-m",
        str(checkpoint),
        "-p",
        "hello",
        "--seed",
        "3",
        "--max-new-tokens",
        "400",
        *options,
    )
    while terminal.read() and not re.search(r"canvas ([4-9]|\d\d)", terminal.text):
        pass
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    first = redraft.load(checkpoint).generate(
        messages=[{"role": "user", "content": "hello"}], seed=3, max_new_tokens=48, **settings
    )
    assert joined(first.text) in joined(terminal.text)


def test_lines_that_grow_lose_no_space() -> None:
    console = Console(file=io.StringIO(), width=10)
    committed = CommittedText(console)
    for piece in ("ab cdefghi ", "klm", " n", "\nend"):
        committed.add(piece)
    committed.close()
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert [word for line in drawn.split("\n") for word in line.split()] == [
        "ab",
        "cdefghi",
        "klm",
        "n",
        "end",
    ]


def test_a_models_text_cannot_command_the_terminal() -> None:
    assert printable("\x1b[2Jhi\tyou\x07\n\u202e") == "·[2Jhi  you·\n·"


@pytest.mark.long
def test_a_dash_reads_standard_input_from_a_terminal_too(checkpoint: Path) -> None:
    terminal = Terminal(
        "generate",
        "-m",
        str(checkpoint),
        "--raw",
        "-p",
        "-",
        "--json",
        "--max-new-tokens",
        "2",
        typed=b"abc\n\x04\x04",
    )
    assert terminal.finish() == 0
    assert b'"prompt_tokens": 4' in terminal.drawn  # the line end is not one of them


def test_a_chat_remembers_and_forgets(checkpoint: Path) -> None:
    terminal = Terminal(
        "chat",
        "-m",
        str(checkpoint),
        "--seed",
        "3",
        "--max-new-tokens",
        "8",
        typed=b"hello\n/reset\nagain\n/quit\n",
    )
    assert terminal.finish() == 0
    assert terminal.text.count("tokens a pass") == 2


def test_a_chat_has_commands(checkpoint: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    typed = f"/help\n/nonsense\n/save\nhello\n/save {saved}\n/save {saved}\n/quit\n"
    options = ("-s", "Be kind.", "--seed", "3", "--max-tokens", "8")
    terminal = Terminal("chat", "-m", str(checkpoint), *options, typed=typed.encode())
    assert terminal.finish() == 0
    text = " ".join(terminal.text.split())  # long paths wrap
    for told in ("/reset", "there is no command /nonsense", "/save needs a file", "(3 messages in"):
        assert told in text
    assert "cannot be written: File exists" in text  # the second time: nothing is replaced
    messages = json.loads(saved.read_text())
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == "hello"


FULL = Path("/dev/full")
LONG = pytest.mark.long


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["generate", "-m", "small", "-p", "calc 17+25", "--json"], marks=LONG),
        ["generate", "-m", "small", "-p", "calc 17+25"],
        pytest.param(
            [
                "sudoku",
                "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
            ],
            marks=LONG,
        ),
        ["inspect", "small"],
        ["--help"],
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert last == "redraft: the output cannot be read or written: No space left on device"


def test_a_closed_output_is_no_error() -> None:
    shell = 'exec "$0" -m redraft "$@" >&-'
    done = subprocess.run(
        ["sh", "-c", shell, COMMAND[0], "generate", "-m", "small", "-p", "calc 17+25"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("quantize", "small", str(tmp_path / "file" / "out"), "--to", "int8")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file" / "out") in done.stderr
