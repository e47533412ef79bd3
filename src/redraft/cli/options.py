"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Checkpoint: a folder, a GGUF file, or a hub id.")
]
SmallOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Checkpoint: a folder, a hub id, or small, the one that ships with redraft.",
    ),
]
TextOption = Annotated[
    str, typer.Option("--model", "-m", help="Checkpoint: a folder, a hub id, or small-text.")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint: a folder or a hub id; again for another. Both small ones.",
    ),
]
SpeechOption = Annotated[
    str | None,
    typer.Option(
        help="What hears: a whisper model (folder or hub id), or http://.../v1 of a server that does."
    ),
]
InstructionOption = Annotated[
    str | None,
    typer.Option("--instruction", "-i", help="What is asked for; the text is then the answer."),
]
WriteOption = Annotated[
    bool, typer.Option("--write", help="Make the change in the file instead; exit status 0.")
]
SeedOption = Annotated[
    int | None, typer.Option(help="Same seed, same text. Without one, a seed is drawn and told.")
]
DtypeOption = Annotated[
    str, typer.Option(help="auto, float32, bfloat16, float16; or int8, int4, fp8: few bits.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
SchemaOption = Annotated[
    str | None, typer.Option("--json-schema", metavar="FILE", help="JSON that this schema admits.")
]
RegexOption = Annotated[
    str | None, typer.Option("--regex", metavar="PATTERN", help="What matches this as a whole.")
]
ChoiceOption = Annotated[
    list[str] | None, typer.Option("--choice", metavar="A,B", help="One of these; may be repeated.")
]
GrammarOption = Annotated[
    str | None,
    typer.Option("--grammar", metavar="FILE", help="What this grammar (Lark's EBNF) derives."),
]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:OPTION=NUMBER,...]",
        help="Decides each denoising step: entropy_bound, confidence:threshold=0.9, top_k, klass or "
        "predictor_corrector.",
    ),
]
StoppingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:OPTION=NUMBER,...]",
        help="Decides when a canvas is settled: stable_and_confident.",
    ),
]
LengthOption = Annotated[
    int | None, typer.Option("--max-new-tokens", help="Tokens written at most.")
]
