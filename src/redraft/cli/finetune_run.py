"""A run of `redraft finetune`: load, check, train, answer held-out records, write the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from redraft.cli.progress import open_model
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.train.finetune.config import FinetuneConfig
    from redraft.train.finetune.encode import RecordEncoder
    from redraft.train.finetune.records import RecordFile
    from redraft.train.finetune.trainer import FinetuneTrainer


@dataclass(frozen=True)
class Run:
    """The base, the records and the folder of a run.

    Attributes:
        data: the file of the records to learn. held_out: those of the records to answer.
        folder: of state, metrics and result. model, dtype, device: of the base.
        threads: CPU threads; None for torch's own number. tensorboard: write metrics for it too.
    """

    config: FinetuneConfig
    data: Path
    held_out: tuple[Path, ...]
    folder: Path
    model: str
    dtype: str
    device: str
    threads: int | None = None
    tensorboard: bool = False


def train(run: Run) -> None:
    """Train, print a line now and then, and write the result."""
    import torch

    from redraft.train import parallel
    from redraft.train.finetune.records import RecordFile
    from redraft.train.finetune.trainer import FinetuneTrainer

    if run.threads:
        torch.set_num_threads(run.threads)
    config = run.config
    records = RecordFile(run.data, skip_bad=config.skip_bad)
    others = [RecordFile(path, skip_bad=config.skip_bad) for path in run.held_out]
    model = open_model(run.model, run.dtype, run.device)
    encoder = encoder_of(model, config)
    console = Console(highlight=False, quiet=parallel.rank() > 0)
    cut = records.check(encoder.is_cut, skip_bad=config.skip_bad)
    print_bad(console, records)
    if cut:
        console.print(f"{cut} of {len(records)} records are cut to {config.max_length} tokens")

    def evaluate(trainer: FinetuneTrainer) -> dict[str, Any]:
        if parallel.rank():
            return {}
        return {"eval": {one.path.stem: _answered(model, one, config) for one in others}}

    trainer = FinetuneTrainer(
        config, model.network, encoder, records, run.folder, base=run.model,
        evaluate=evaluate if others else None,
    )  # fmt: skip
    _print_beginning(console, model, trainer)
    _run(console, trainer, tensorboard=run.tensorboard)
    _finish(console, model, trainer)


def _print_beginning(console: Console, model: Model, trainer: FinetuneTrainer) -> None:
    count = sum(one.numel() for one in trainer.trained.values())
    whole = sum(one.numel() for one in model.network.parameters())
    console.print(
        f"{count:,} of {whole:,} numbers are trained, {len(trainer.data)} records, "
        f"update {trainer.step} of {trainer.config.steps}; Ctrl-C saves and stops"
    )


def _run(console: Console, trainer: FinetuneTrainer, *, tensorboard: bool) -> None:
    """Train to the end, or to an interrupt."""
    from redraft.train import parallel
    from redraft.train.metrics import METRICS
    from redraft.train.plot import PICTURE, plot_metrics
    from redraft.train.tensorboard import TensorBoard

    written = not parallel.rank() and tensorboard
    board = TensorBoard(trainer.folder, trainer.step) if written else None
    try:
        with parallel.on_interrupt(lambda *_: setattr(trainer, "stopping", True)):
            for row in trainer.run():
                console.print(progress_line(row), soft_wrap=True, markup=False)
                if board is not None:
                    board.add(row)
    finally:
        if board is not None:
            board.close()
        if not parallel.rank():
            plot_metrics(trainer.folder / METRICS, trainer.folder / PICTURE)


def _finish(console: Console, model: Model, trainer: FinetuneTrainer) -> None:
    """Write the result of a run that came to its end."""
    from redraft.train import parallel
    from redraft.train.finetune.trainer import CHECKPOINT, STATE
    from redraft.train.metrics import METRICS, read_metrics

    folder = trainer.folder
    for line in comparison(read_metrics(folder / METRICS)):
        console.print(line, soft_wrap=True, markup=False)
    if trainer.step < trainer.config.steps:
        console.print(f"saved at update {trainer.step} in {folder / STATE}: --resume continues")
        if parallel.world_size() == 1:
            raise SystemExit(130)
    elif trainer.config.lora is not None:
        console.print(f"done: {trainer.save_adapter()}")
    else:
        with trainer.whole() as model.network:
            if not parallel.rank():
                model.save(folder / CHECKPOINT)
        console.print(f"done: {folder / CHECKPOINT}")


def encoder_of(model: Model, config: FinetuneConfig) -> RecordEncoder:
    """Return the encoder of records for a model.

    Raises:
        ConfigError: the checkpoint names no end token. RequestError: it has no tokenizer.
    """
    from redraft.train.finetune.encode import ImageReader, RecordEncoder

    tokenizer = model.processor.require_tokenizer("fine-tuning")
    ends = model.processor.end_tokens(model.generation_config)
    if not ends:
        raise ConfigError("the checkpoint names no end token that its vocabulary has")
    images = model.images
    return RecordEncoder(
        tokenizer,
        model.chat_template,
        model.config,
        tuple(ends),
        config.max_length,
        config.loss_on == "last",
        config.encoder_loss_on == "sequence",
        None if images is None else ImageReader(model.processor.chat, images.features),
    )


def print_bad(console: Console, records: RecordFile) -> None:
    """Print the lines that were left out."""
    for number, problem in records.bad:
        console.print(f"left out line {number}: {problem}", markup=False, soft_wrap=True)


def _answered(model: Model, held: RecordFile, config: FinetuneConfig) -> dict[str, Any]:
    """Let the model answer some records of a file; return the figures."""
    from redraft.evals.finetuned import answer_records

    some = [held[at] for at in range(min(config.eval_examples, len(held)))]
    found = answer_records(model, some, config.seed)
    return {
        "count": found.count,
        "exact": found.exact,
        "ended": found.ended,
        "passes": found.passes,
        "samples": found.samples,
    }


def progress_line(row: dict[str, Any]) -> str:
    """Return a row of the metrics as a line of text."""
    if not row["step"]:
        return "before training" + _answers_line(row)
    levels = " ".join("  -  " if one is None else f"{one:.3f}" for one in row["loss_by_level"])
    minutes = row["seconds_left"] / 60
    text = (
        f"update {row['step']:6d}  loss {row['loss']:.4f}  by noise {levels}  "
        f"encoder {row['encoder_loss'] or 0:.3f}  {row['examples_per_second']:.1f} examples/s  "
        f"{minutes:.0f} min left"
    )
    return text + _answers_line(row)


def _answers_line(row: dict[str, Any]) -> str:
    return "".join(
        f"\n  {name}: {found['exact']:.0%} exact of {found['count']}, {found['ended']:.0%} ended, "
        f"{found['passes']:.1f} passes a canvas"
        for name, found in row.get("eval", {}).items()
    )


def comparison(rows: list[dict[str, Any]]) -> list[str]:
    """Return lines of what was answered before training beside what is answered now, for each file
    of held-out records; none where nothing was answered twice."""
    evaluated = [row["eval"] for row in rows if row.get("eval")]
    if len(evaluated) < 2:
        return []
    first, last = evaluated[0], evaluated[-1]
    lines = [f"{'':20}{'exact':>16}{'ended':>16}{'passes a canvas':>20}"]
    for name in last:
        if name not in first:
            continue
        one, two = first[name], last[name]
        exact, ended = (f"{one[key]:.0%} -> {two[key]:.0%}" for key in ("exact", "ended"))
        passes = f"{one['passes']:.1f} -> {two['passes']:.1f}"
        lines.append(f"{name:20}{exact:>16}{ended:>16}{passes:>20}")
    return lines
