"""`redraft eval`: a group of commands, one a kind of measurement."""

from __future__ import annotations

from itertools import chain

import typer
from typer.core import TyperGroup

from redraft.cli.eval.divergence import measure_divergence
from redraft.cli.eval.held_out import measure_set
from redraft.cli.eval.infill import measure_infill
from redraft.cli.help import add_command


class EvalGroup(TyperGroup):
    """The commands of `redraft eval`, with `redraft eval NAME` for `redraft eval set NAME`."""

    # Typer's own method takes any context of click, which typer does not export.
    def parse_args(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> list[str]:
        """Put the command first: the options may stand before it, and the command `set` may be
        left out."""
        args = list(args) or ["--help"]
        if args[0] != "--help":
            at = self._command_at(args)
            command = "set" if at is None else args.pop(at)
            args = [command, *args]
        return super().parse_args(ctx, args)

    def _command_at(self, args: list[str]) -> int | None:
        """Return the place of the command, the first word that is not an option's value."""
        parameters = chain.from_iterable(command.params for command in self.commands.values())
        options = (one.opts for one in parameters if not getattr(one, "is_flag", False))
        valued = set(chain.from_iterable(options))
        for at, word in enumerate(args):
            if word == "--":
                return None
            if word in self.commands and (at == 0 or args[at - 1] not in valued):
                return at
        return None


app = typer.Typer(cls=EvalGroup)
add_command(app, measure_set, "set")
add_command(app, measure_infill, "infill")
add_command(app, measure_divergence, "divergence")


@app.callback()
def evaluate() -> None:
    """Measure a model, or compare two.

    `redraft eval sudoku` is short for `redraft eval set sudoku`.
    """
