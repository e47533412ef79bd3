"""Tasks: problems that are generated without limit and checked exactly. No torch."""

from redraft.tasks.arithmetic import Arithmetic
from redraft.tasks.snippets import Infill, Rewrite
from redraft.tasks.sudoku import Sudoku
from redraft.tasks.task import Example, Task, is_held_out
from redraft.tasks.todo import ToDo
from redraft.tasks.world import Wiki

__all__ = [
    "Arithmetic",
    "Example",
    "Infill",
    "Rewrite",
    "Sudoku",
    "Task",
    "ToDo",
    "Wiki",
    "is_held_out",
]
