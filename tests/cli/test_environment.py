"""What the command tells the libraries before they load."""

from __future__ import annotations

import os

import pytest

from redraft.cli import app


@pytest.mark.parametrize("own", [None, "7"])
def test_the_command_tells_libraries_what_the_user_has_not(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    monkeypatch.setattr(os, "environ", {} if own is None else dict.fromkeys(app.ENVIRONMENT, own))
    monkeypatch.setattr(app.sys, "argv", ["redraft"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    for name, value in app.ENVIRONMENT.items():
        assert os.environ[name] == (own or value)
