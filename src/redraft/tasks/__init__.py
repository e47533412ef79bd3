"""Work that can be generated without end and checked exactly: for training, evaluation and demos. No torch."""

from redraft.tasks.arithmetic import Arithmetic
from redraft.tasks.sudoku import Sudoku
from redraft.tasks.task import Example, Task, is_held_out

__all__ = ["Arithmetic", "Example", "Sudoku", "Task", "is_held_out"]
