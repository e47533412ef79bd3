"""From a cold shell: the import, the help, and the first draft of the small model."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from measure import alternate, benchmark_parser, elapsed, medians, print_result

IMPORT = "import redraft"
HELP = "from redraft.cli.app import main; import sys; sys.argv = ['redraft', '--help']; main()"
DRAFT = (
    "import redraft; model = redraft.load('small'); "
    "next(model.stream(messages=[{'role': 'user', 'content': 'calc 12+30'}], seed=1))"
)
PROGRAMS = {"import": IMPORT, "help": HELP, "first_draft": DRAFT}


def main() -> None:
    """Measure and print."""
    args = benchmark_parser(__doc__, peer="none").parse_args()

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)

    for program in PROGRAMS.values():
        run(program)  # files into the cache
    sides = {name: partial(elapsed, partial(run, program)) for name, program in PROGRAMS.items()}
    seconds = medians(alternate(sides, args.rounds))
    summary = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    print_result("startup", args, summary, seconds=seconds)


if __name__ == "__main__":
    main()
