"""The harness's own command, with the model `redraft`."""

from __future__ import annotations

from lm_eval.__main__ import cli_evaluate

import lm_eval_redraft as lm_eval_redraft  # registers the model


def main() -> None:
    """Run the harness."""
    cli_evaluate()


if __name__ == "__main__":
    main()
