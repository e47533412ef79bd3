"""From a cold shell: the import, the help, and the first draft of the small model."""

from __future__ import annotations

import subprocess
import sys

from measure import arguments, in_turn, medians, seconds, tell

IMPORT = "import redraft"
HELP = "from redraft.cli.app import main; import sys; sys.argv = ['redraft', '--help']; main()"
DRAFT = (
    "import redraft; model = redraft.load('small'); "
    "next(model.stream(messages=[{'role': 'user', 'content': 'calc 12+30'}], seed=1))"
)


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, peer="none").parse_args()
    commands = {"import": IMPORT, "help": HELP, "first_draft": DRAFT}

    def call(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

    for code in commands.values():
        call(code)  # files into the cache
    found = medians(
        in_turn(
            {
                name: (lambda code=code: seconds(lambda: call(code)))
                for name, code in commands.items()
            },
            given.rounds,
        )
    )
    tell(
        "startup",
        given,
        ", ".join(f"{name} {value:.2f} s" for name, value in found.items()),
        seconds=found,
    )


if __name__ == "__main__":
    main()
