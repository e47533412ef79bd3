from __future__ import annotations

import subprocess
import sys


def test_importing_redraft_does_not_load_torch() -> None:
    script = (
        "import sys, redraft, redraft.cli.app;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_is_there() -> None:
    import redraft

    for name in redraft.__all__:
        assert getattr(redraft, name)
    assert not hasattr(redraft, "nonsense")
