"""Options that several commands share, and the settings that were given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict, cast

import typer

from redraft.config import GenerationOptions

GIB = 1 << 30  # bytes in the unit of --memory
CONSTRAINTS = "Constraints (at most one)"

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint: a folder, a GGUF file, a hub id, or small, small-text, small-sight.",
    ),
]
DefaultModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint: a folder, a GGUF file, a hub id. Unless given: REDRAFT_MODEL of the "
        "environment, or the small model that knows such prompts.",
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint; may be repeated. Unless given: small and small-text.",
    ),
]
SetModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="A checkpoint. Unless given: the small model that knows the set."
    ),
]
AdaptersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=PATH",
        help="A LoRA adapter of the model, and its name in requests; may be repeated. With one "
        "model only.",
    ),
]
RequestNameOption = Annotated[
    str | None,
    typer.Option("--name", help="The name of the model in requests; with one model only."),
]
MemoryOption = Annotated[
    float | None,
    typer.Option(
        "--memory",
        help="GiB for caches and passes, beside the weights. Unless given: 94 % of the free "
        "memory.",
        min=0.001,
    ),
]
SpeechOption = Annotated[
    str | None,
    typer.Option(
        help="The speech recogniser: a whisper model (folder or hub id), or the URL of a server, "
        "http://HOST/v1."
    ),
]
InstructionOption = Annotated[
    str | None,
    typer.Option(
        "--instruction", "-i", help="The instruction of a user; the text is the answer to it."
    ),
]
WriteOption = Annotated[
    bool, typer.Option("--write", help="Change the file, print nothing; exit status 0.")
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Change a file that is unlike what the model was trained on."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same text. Unless given: drawn, and printed."),
]
FirstSeedOption = Annotated[int, typer.Option(help="The seed of the first example.")]
MethodOption = Annotated[
    str, typer.Option(help="diffusion, or autoregressive: the same weights from left to right.")
]
# A short form of `--method autoregressive`; its older name is --typewriter.
AutoregressiveFlag = Annotated[bool, typer.Option(hidden=True)]
DtypeOption = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16 or float16; int8, int4 or fp8 quantize the weights."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
VisionOption = Annotated[
    bool,
    typer.Option(
        "--vision/--no-vision", help="Load the image encoder of a checkpoint that has one."
    ),
]
ImageOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="An image in front of the prompt (PNG, JPEG, WEBP, GIF); may be repeated.",
    ),
]
SoftTokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-soft-tokens",
        help="How closely each image is read: 70, 140, 280, 560 or 1120 soft tokens at most. "
        "Unless given: the checkpoint's own number.",
        show_default=False,
    ),
]
GroupOption = Annotated[int, typer.Option(help="int4: columns that share a scale: 32, 64 or 128.")]
EmbeddingOption = Annotated[
    str | None, typer.Option(help="int8 quantizes the embedding too. Unless given: it is not.")
]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--json-schema",
        metavar="FILE",
        help="The text is JSON that satisfies this JSON Schema.",
        rich_help_panel=CONSTRAINTS,
    ),
]
RegexOption = Annotated[
    str | None,
    typer.Option(
        "--regex",
        metavar="PATTERN",
        help="The whole text matches this pattern.",
        rich_help_panel=CONSTRAINTS,
    ),
]
ChoiceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--choice",
        metavar="A,B",
        help="The text is one of these; may be repeated.",
        rich_help_panel=CONSTRAINTS,
    ),
]
GrammarOption = Annotated[
    str | None,
    typer.Option(
        "--grammar",
        metavar="FILE",
        help="This grammar (Lark's EBNF) derives the text.",
        rich_help_panel=CONSTRAINTS,
    ),
]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The sampler: entropy_bound, confidence, top_k, klass or predictor_corrector; with "
        "options, e.g. top_k:steps=8.",
    ),
]
StoppingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The stopping criterion: stable_and_confident or every_position; with options as for "
        "--sampler.",
    ),
]
SamplersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        help="Compare samplers: a name, or a name with options such as confidence:threshold=0.9; "
        "may be repeated.",
    ),
]
StoppingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stopping",
        metavar="NAME",
        help="Compare stopping criteria, named like samplers; may be repeated.",
    ),
]
ThinkingOption = Annotated[
    bool | None,
    typer.Option(
        "--thinking/--no-thinking",
        help="Switch the reasoning on or off. Unless given: as the chat template does.",
        show_default=False,
    ),
]
ControlTokensOption = Annotated[
    bool,
    typer.Option(
        "--control-tokens",
        help="Read control tokens in the text of a message. Unless given they stay text.",
    ),
]
LengthOption = Annotated[
    int | None, typer.Option("--max-new-tokens", help="The limit on new tokens.")
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="The Ray cluster to run on: HOST:PORT of its head, auto, or local for this machine.",
    ),
]
ReplicasOption = Annotated[
    int | None,
    typer.Option("--replicas", help="Engines on the cluster, each with its models.", min=1),
]
ReplicaCpusOption = Annotated[
    int, typer.Option("--replica-cpus", help="Cores, and threads, of each replica.", min=1)
]
MaxReplicasOption = Annotated[
    int | None,
    typer.Option(
        "--max-replicas",
        help="Replicas under load. Unless given: always as many as --replicas says.",
        min=1,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PictureOption = Annotated[Path | None, typer.Option(help="Draw the result as a picture too.")]


class NamedStrategies(TypedDict):
    """Sampler and stopping criterion by their names; None for the default."""

    sampler: str | None
    stopping: str | None


def checked_strategies(sampler: str | None, stopping: str | None) -> NamedStrategies:
    """Return the strategies that are named, checked before the model is loaded.

    Raises:
        ConfigError: a name or an option of a strategy is unknown or out of range.
    """
    from redraft.diffusion import as_sampler, as_stopping

    as_sampler(sampler)
    as_stopping(stopping)
    return {"sampler": sampler, "stopping": stopping}


def given(**options: object) -> GenerationOptions:
    """Return the options that are not None."""
    found = {name: value for name, value in options.items() if value is not None}
    return cast(GenerationOptions, found)
