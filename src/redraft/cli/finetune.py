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
    from redraft.train.finetune.config import FinetuneConfig
    from redraft.train.finetune.records import RecordFile

SHOWN = 3  # records of a dry run

DataOption = Annotated[
    Path,
    typer.Option(
        help="A JSONL file: messages, prompt and completion, or template and fills, a record a "
        "line."
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The folder of the run: state, metrics, result."),
]
HeldOutOption = Annotated[
    list[Path] | None,
    typer.Option("--eval", help="A JSONL file to be answered now and then; may be repeated."),
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="Settings, a TOML file; options go before it.")
]
RankOption = Annotated[int | None, typer.Option(help="The rank of the adapter.")]
AlphaOption = Annotated[float | None, typer.Option(help="Its scale is alpha / rank.")]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Weights with an update: attention, dense, experts, self_conditioning, or a pattern; "
        "may be repeated."
    ),
]
FullOption = Annotated[
    bool, typer.Option("--full", help="Train all weights in place of an adapter.")
]
StepsOption = Annotated[int | None, typer.Option(help="Updates.")]
BatchOption = Annotated[int | None, typer.Option(help="Examples of an update.")]
RateOption = Annotated[float | None, typer.Option(help="The peak of the rate.")]
LengthOption = Annotated[int | None, typer.Option(help="The limit on tokens of a record.")]
SeedOption = Annotated[int | None, typer.Option(help="The seed of order and noise.")]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out lines that are no records.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what the model would see, and train nothing.")
]
TensorBoardOption = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write the metrics for TensorBoard too (its own extra)."),
]
ThreadsOption = Annotated[int | None, typer.Option(help="CPU threads.", min=1)]
ProcessesOption = Annotated[
    int, typer.Option(help="Processes of one thread that share every batch.", min=1)
]


def finetune(
    model: ModelOption,
    data: DataOption,
    folder: FolderOption = None,
    held_out: HeldOutOption = None,
    config: ConfigOption = None,
    lora_rank: RankOption = None,
    lora_alpha: AlphaOption = None,
    target: TargetOption = None,
    full: FullOption = False,
    steps: StepsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    max_length: LengthOption = None,
    seed: SeedOption = None,
    skip_bad: SkipOption = False,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    tensorboard: TensorBoardOption = False,
    threads: ThreadsOption = None,
    processes: ProcessesOption = 1,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Fine-tune a model on your examples.

    The result is an adapter in PEFT's format, or with --full a checkpoint. After an interrupt the
    same command with --resume continues. On several devices: torchrun --nproc-per-node N -m redraft
    finetune ...
    """
    chosen = _config(config, {
        "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate,
        "max_length": max_length, "seed": seed, "full": full or None, "skip_bad": skip_bad or None,
        "lora": _given({"rank": lora_rank, "alpha": lora_alpha, "targets": target}) or None,
    })  # fmt: skip
    from redraft.train import parallel
    from redraft.train.launcher import own_device

    parallel.check_processes(processes, chosen.batch_size)
    device = own_device(device, processes)
    files = [data, *(held_out or [])]
    records, *_ = _checked_files(files, chosen)
    if dry_run:
        _show(chosen, records, model, dtype, device)
        return
    from redraft.cli.finetune_run import Run, train
    from redraft.train.tensorboard import check_tensorboard

    if tensorboard:
        check_tensorboard()
    checked = _checked_folder(folder, resume)
    run = Run(chosen, data, tuple(files[1:]), checked, model, dtype, device, threads, tensorboard)
    if parallel.run_in_processes(processes, train, run):
        raise SystemExit(130)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _config(path: Path | None, options: dict[str, Any]) -> FinetuneConfig:
    from redraft.train.finetune.config import FinetuneConfig

    base = FinetuneConfig() if path is None else FinetuneConfig.from_file(path)
    return base.with_options(_given(options))


def _checked_files(paths: list[Path], config: FinetuneConfig) -> list[RecordFile]:
    """Return the records of files, all lines checked."""
    from redraft.train.finetune.records import RecordFile

    return [RecordFile(path, skip_bad=config.skip_bad) for path in paths]


def _show(config: FinetuneConfig, records: RecordFile, model: str, dtype: str, device: str) -> None:
    """Print what the model would see of the first records."""
    from redraft.cli.finetune_run import encoder_of, print_bad
    from redraft.cli.training_view import show_record

    console = Console(highlight=False)
    print_bad(console, records)
    encoder = encoder_of(open_model(model, dtype, device), config)
    for at in range(min(SHOWN, len(records))):
        show_record(console, encoder, records[at], at, config)


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
