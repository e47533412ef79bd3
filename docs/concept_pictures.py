"""Draw the pictures of docs/concepts from real runs of the small text model:
`python docs/concept_pictures.py`.

Writes docs/images/canvas-steps.svg, entropy-bound.svg and infill-steps.svg. The runs have a seed,
so the pictures are the same again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import redraft
from redraft.diffusion import DenoisingStep, EntropyBoundSampler, ScheduledStep
from redraft.diffusion.canvas import Canvas
from redraft.ops.vocabulary import VocabularyStatistics

IMAGES = Path(__file__).parent / "images"
PROMPT = (
    'edit <body class="white"><h1>School</h1><ul><li>[x] find mum</li><li>[ ] read a letter</li>'
    "<li>[ ] fix a letter</li><li>[ ] water bread</li></ul></body>\nmark water bread as done"
)
SEED = 1
HOLES = [
    "def ",
    redraft.Hole(8, 8),
    '(students):\n    """The first ',
    redraft.Hole(8, 8),
    ' students by rank."""\n    result = sorted(students, key=lambda student: student.rank)\n'
    "    return result[:11]",
]
CELL, ROW, MARGIN = 8.4, 46, 86
PER_LINE = 96
NOISE, KEPT, FROZEN, INK = "#a9b1bd", "#12703c", "#1d2636", "#1d2636"


@dataclass(frozen=True)
class Step:
    """What one row read, and what the sampler decided; a value for each position."""

    read: list[int]
    frozen: list[bool]
    accepted: list[bool]
    entropy: list[float]
    next_canvas: list[int]
    argmax: list[int]


Run = list[Step]


@dataclass(eq=False)
class Recorder:
    """A sampler that keeps the steps of all rows: a run for each."""

    inner: EntropyBoundSampler
    runs: list[Run] = field(default_factory=list)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        """Decide as the inner sampler does, and note it."""
        result = self.inner.step(statistics, canvas, step)
        columns = (
            canvas.tokens,
            canvas.frozen,
            result.accepted,
            result.entropy,
            result.canvas,
            result.argmax_canvas,
        )
        for row in zip(*(column.tolist() for column in columns), strict=True):
            self._note(Step(*row))
        return result

    def _note(self, step: Step) -> None:
        for run in self.runs:
            if run[-1].next_canvas == step.read:
                run.append(step)
                return
        self.runs.append([step])


@dataclass(frozen=True)
class Cell:
    """One token as it is drawn."""

    text: str
    color: str
    bold: bool = False


def words(model: redraft.Model, tokens: list[int]) -> list[str]:
    """Return each token's text, with signs for spaces, line ends and tokens without text."""
    assert model.tokenizer is not None
    parts = [model.tokenizer.decode([token]) for token in tokens]
    shown = [part.replace("\n", "⏎").replace(" ", "·") for part in parts]
    return [part if part.isprintable() and part else "▫" for part in shown]


def lines_of(cells: list[Cell]) -> list[list[Cell]]:
    """Break a row of tokens into lines."""
    lines: list[list[Cell]] = [[]]
    used = 0
    for cell in cells:
        if used + len(cell.text) > PER_LINE:
            lines.append([])
            used = 0
        lines[-1].append(cell)
        used += len(cell.text)
    return lines


def picture(rows: list[tuple[str, list[Cell]]], legend: list[Cell]) -> str:
    """Return rows of coloured tokens as SVG, a label in front of each, a legend below."""
    parts, y = [], 26.0
    for label, cells in rows:
        parts.append(
            f'<text x="12" y="{y:g}" font-size="13" fill="#5b6577"'
            f' font-family="system-ui, sans-serif">{escape(label)}</text>'
        )
        for line in lines_of(cells):
            parts += _line(line, MARGIN, y)
            y += 19
        y += 11
    parts += _line(legend, MARGIN, y + 6)
    width, height = MARGIN + PER_LINE * CELL + 20, y + 28
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        ' font-family="ui-monospace, monospace" font-size="14">'
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _line(cells: list[Cell], x: float, y: float) -> list[str]:
    found = []
    for cell in cells:
        weight = ' font-weight="700"' if cell.bold else ""
        length = len(cell.text) * CELL
        found.append(
            f'<text x="{x:g}" y="{y:g}" textLength="{length:g}" fill="{cell.color}"{weight}>'
            f"{escape(cell.text)}</text>"
        )
        x += length
    return found


def rows_of(model: redraft.Model, run: Run, length: int) -> list[tuple[str, list[Cell]]]:
    """Return what each step read, and at last what was committed, as rows to draw."""
    frozen = run[0].frozen
    nothing = [False] * len(frozen)
    kept = [nothing, *(step.accepted for step in run)]
    rows = [
        (f"step {number}", cells_of(model, step.read[:length], frozen, before))
        for number, (step, before) in enumerate(zip(run, kept, strict=False), 1)
    ]
    last = cells_of(model, run[-1].argmax[:length], frozen, [True] * len(frozen))
    return [*rows, ("committed", last)]


def cells_of(
    model: redraft.Model, tokens: list[int], frozen: list[bool], kept: list[bool]
) -> list[Cell]:
    """Return the tokens of a canvas as they are drawn."""
    cells = []
    for text, given, accepted in zip(words(model, tokens), frozen, kept, strict=False):
        color = FROZEN if given else KEPT if accepted else NOISE
        cells.append(Cell(text, color, color == KEPT))
    return cells


def settling(model: redraft.Model) -> Run:
    """Record one canvas: a to-do page that is edited."""
    recorder = Recorder(EntropyBoundSampler(model.generation_config.entropy_bound))
    messages = [{"role": "user", "content": PROMPT}]
    model.generate(messages=messages, seed=SEED, sampler=recorder, max_new_tokens=96)
    (run,) = recorder.runs
    return run


def infilling(model: redraft.Model) -> Run:
    """Record the candidate of two holes that was kept."""
    recorder = Recorder(EntropyBoundSampler(model.generation_config.entropy_bound))
    filled = model.infill(
        HOLES, instruction="fill python", seed=2, sampler=recorder, max_candidates=1
    )
    assert model.tokenizer is not None
    pad = model.generation_config.pad_token_id
    for run in recorder.runs:
        kept = [token for token in run[-1].argmax if token != pad]
        if filled.text.strip() in model.tokenizer.decode(kept):
            return run
    raise AssertionError("no run gave the text")


def entropies(step: Step, number: int, bound: float) -> str:
    """Return the sorted entropies of one step as bars, those that were accepted marked."""
    values = sorted(step.entropy)
    before = [sum(values[:place]) for place in range(len(values))]
    count = sum(total <= bound for total in before)
    width, height, left, base = 900, 300, 60, 250
    pitch = (width - left - 30) / len(values)
    scale = 200 / max(values)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for place, value in enumerate(values):
        color = KEPT if place < count else NOISE
        top = base - max(value * scale, 1.5)
        parts.append(
            f'<rect x="{left + place * pitch:.1f}" y="{top:.1f}" width="{pitch * 0.8:.1f}"'
            f' height="{base - top:.1f}" fill="{color}"/>'
        )
    edge = left + count * pitch - pitch * 0.1
    side, gap = ("start", 8) if edge < width / 2 else ("end", -8)
    parts += [
        f'<path d="M{edge:.1f} 30V{base + 8}" stroke="#b3261e" stroke-dasharray="5 4"/>',
        f'<text x="{edge + gap:.1f}" y="44" text-anchor="{side}" fill="#b3261e">'
        f"the sum before this position passes {bound:g} nats</text>",
        f'<text x="{left}" y="{base + 24}" fill="{KEPT}">{count} positions are accepted</text>',
        f'<text x="{width - 30}" y="{base + 24}" text-anchor="end" fill="#5b6577">'
        f"{len(values) - count} positions get new noise</text>",
        f'<text x="{left}" y="24" fill="{INK}">entropy of each position at step {number},'
        f" in nats, the surest first (the highest bar: {max(values):.2f})</text>",
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def main() -> None:
    """Draw all three."""
    model = redraft.load("small-text", dtype="float32")
    config = model.generation_config
    ends = {*config.eos_token_id, config.pad_token_id}
    space = Cell("\u00a0\u00a0\u00a0", INK)
    legend = [Cell("noise", NOISE), space, Cell("kept by the sampler", KEPT, True)]

    run = settling(model)
    length = next(place for place, token in enumerate(run[-1].argmax) if token in ends)
    put("canvas-steps", picture(rows_of(model, run, length), legend))
    put("entropy-bound", entropies(run[0], 1, config.entropy_bound))

    run = infilling(model)
    given = zip(run[0].frozen, run[0].read, strict=True)
    text = [place for place, (frozen, token) in enumerate(given) if frozen and token not in ends]
    legend = [Cell("frozen", FROZEN), space, *legend]
    put("infill-steps", picture(rows_of(model, run, text[-1] + 1), legend))


def put(name: str, svg: str) -> None:
    """Write a picture."""
    (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"wrote {name}.svg")


if __name__ == "__main__":
    main()
