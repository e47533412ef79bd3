"""`redraft finetune`: a file of examples in, an adapter or a checkpoint out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from redraft.cli.options import DeviceOption, DtypeOption, ModelOption
from redraft.cli.progress import open_model
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.train.finetune.config import FinetuneConfig
    from redraft.train.finetune.encode import RecordEncoder
    from redraft.train.finetune.records import RecordFile
    from redraft.train.finetune.trainer import FinetuneTrainer

SHOWN = 3  # records of a dry run


def finetune(
    model: ModelOption,
    data: Annotated[
        Path,
        typer.Option(
            help="A JSONL file: messages, prompt and completion, or template and fills, a record "
            "a line."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder of the run: state, metrics, result."),
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="A JSONL file to be answered now and then; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings, a TOML file; options go before it.")
    ] = None,
    lora_rank: Annotated[int | None, typer.Option(help="The rank of the adapter.")] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="Its scale is alpha / rank.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Weights with an update: attention, dense, experts, self_conditioning, or a "
            "pattern; may be repeated."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train all weights in place of an adapter.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples of an update.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The peak of the rate.")] = None,
    max_length: Annotated[int | None, typer.Option(help="The limit on tokens of a record.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of order and noise.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no records.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the model would see, and train nothing.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    processes: Annotated[
        int, typer.Option(help="Processes of one thread that share every batch.", min=1)
    ] = 1,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Fine-tune a model on your examples.

    The result is an adapter in PEFT's format, or with --full a checkpoint. After an interrupt the
    same command with --resume continues.
    """
    lora = {"rank": lora_rank, "alpha": lora_alpha, "targets": target}
    options: dict[str, Any] = {
        "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate,
        "max_length": max_length, "seed": seed, "full": full or None, "skip_bad": skip_bad or None,
        "lora": {name: value for name, value in lora.items() if value is not None} or None,
    }  # fmt: skip
    from redraft.train import parallel

    chosen = _config(config, {name: one for name, one in options.items() if one is not None})
    files = [data, *(held_out or [])]
    records, *_ = _files(files, chosen)
    console = Console(highlight=False)
    if dry_run:
        _print_bad(console, records)
        _show(console, chosen, records, open_model(model, dtype, device))
        return
    checked = _checked_folder(folder, resume)
    parallel.check_processes(processes, chosen.batch_size)
    run = chosen, files, checked, (model, dtype, device), threads
    if parallel.run_in_processes(processes, _train, *run):
        raise SystemExit(130)


def _print_bad(console: Console, records: RecordFile) -> None:
    for number, problem in records.bad:
        console.print(f"left out line {number}: {problem}", markup=False, soft_wrap=True)


def _show(console: Console, config: FinetuneConfig, records: RecordFile, model: Model) -> None:
    """Print what the model would see of the first records."""
    from redraft.cli.training_view import show_record

    encoder = _encoder(model, config)
    for at in range(min(SHOWN, len(records))):
        show_record(console, encoder, records[at], at, config)


def _config(path: Path | None, options: dict[str, Any]) -> FinetuneConfig:
    from redraft.train.finetune.config import FinetuneConfig

    base = FinetuneConfig() if path is None else FinetuneConfig.from_file(path)
    return base.with_options(options)


def _files(paths: list[Path], config: FinetuneConfig) -> list[RecordFile]:
    """Return the records of files, all lines checked."""
    from redraft.train.finetune.records import RecordFile

    return [RecordFile(path, skip_bad=config.skip_bad) for path in paths]


def _checked_folder(folder: Path | None, resume: bool) -> Path:
    """Return the folder of a run: an empty one, or one with a run that is to be continued.

    Raises:
        ConfigError: it does not.
    """
    from redraft.train.finetune.trainer import STATE

    if folder is None:
        raise ConfigError("--out names the folder of the run: give it, or --dry-run")
    there = (folder / STATE).exists()
    if resume and not there:
        raise ConfigError(f"{folder} holds no run to resume: leave out --resume")
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = "--resume continues it" if there else "name another"
        raise ConfigError(f"{folder} is not an empty folder: {hint}")
    return folder


def _encoder(model: Model, config: FinetuneConfig) -> RecordEncoder:
    from redraft.train.finetune.encode import RecordEncoder

    tokenizer = model.processor.require_tokenizer("fine-tuning")
    ends = model.processor.end_tokens(model.generation_config)
    if not ends:
        raise ConfigError("the checkpoint names no end token that its vocabulary has")
    return RecordEncoder(
        tokenizer,
        model.chat_template,
        model.config,
        tuple(ends),
        config.max_length,
        config.loss_on == "last",
        config.encoder_loss_on == "sequence",
    )


def _train(
    config: FinetuneConfig,
    files: list[Path],
    folder: Path,
    base: tuple[str, str, str],
    threads: int | None,
) -> None:
    """Train, print a line now and then, and write the result.

    Args:
        files: of the records to learn, then of those to answer.
        base: the model, its dtype and its device.
    """
    import torch

    from redraft.train import parallel
    from redraft.train.finetune.trainer import CHECKPOINT, STATE, FinetuneTrainer
    from redraft.train.metrics import METRICS
    from redraft.train.plot import PICTURE, plot_metrics

    if threads:
        torch.set_num_threads(threads)
    records, *others = _files(files, config)
    model = open_model(*base)
    encoder = _encoder(model, config)
    console = Console(highlight=False, quiet=parallel.rank() > 0)
    records.check(encoder.problem, skip_bad=config.skip_bad)
    _print_bad(console, records)
    cut = sum(encoder.is_cut(records[at]) for at in range(len(records)))
    if cut:
        console.print(f"{cut} of {len(records)} records are cut to {config.max_length} tokens")

    def evaluate(trainer: FinetuneTrainer) -> dict[str, Any]:
        if parallel.rank():
            return {}
        return {"eval": {one.path.stem: _answered(model, one, config) for one in others}}

    trainer = FinetuneTrainer(
        config, model.network, encoder, records, folder, base=base[0], evaluate=evaluate
    )
    count = sum(one.numel() for one in trainer.trained.values())
    whole = sum(one.numel() for one in model.network.parameters())
    console.print(
        f"{count:,} of {whole:,} numbers are trained, {len(records)} records, "
        f"update {trainer.step} of {config.steps}; Ctrl-C saves and stops"
    )
    try:
        with parallel.on_interrupt(lambda *_: setattr(trainer, "stopping", True)):
            for row in trainer.run():
                console.print(progress_line(row), soft_wrap=True, markup=False)
    finally:
        if not parallel.rank():
            plot_metrics(folder / METRICS, folder / PICTURE)
    if trainer.step < config.steps:
        console.print(f"saved at update {trainer.step} in {folder / STATE}: --resume continues")
        if parallel.world_size() == 1:
            raise SystemExit(130)
    elif parallel.rank():
        return
    elif config.lora is not None:
        console.print(f"done: {trainer.save_adapter()}")
    else:
        model.save(folder / CHECKPOINT)
        console.print(f"done: {folder / CHECKPOINT}")


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
    levels = " ".join("  -  " if one is None else f"{one:.3f}" for one in row["loss_by_level"])
    minutes = row["seconds_left"] / 60
    text = (
        f"update {row['step']:6d}  loss {row['loss']:.4f}  by noise {levels}  "
        f"encoder {row['encoder_loss'] or 0:.3f}  {row['examples_per_second']:.1f} examples/s  "
        f"{minutes:.0f} min left"
    )
    for name, found in row.get("eval", {}).items():
        text += (
            f"\n  {name}: {found['exact']:.0%} exact of {found['count']}, {found['ended']:.0%} "
            f"ended, {found['passes']:.1f} passes a canvas"
        )
    return text
