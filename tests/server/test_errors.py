from __future__ import annotations

from redraft.server.errors import MAX_MESSAGE, error_body


def test_an_error_tells_the_start_of_a_long_message() -> None:
    short, long = "x" * MAX_MESSAGE, "\ud800" + "x" * MAX_MESSAGE
    assert error_body(short, "a", param=short)["error"]["message"] == short
    told = error_body(long, "a", param=long)["error"]
    assert told["message"] == told["param"]
    assert told["message"] == f"\\ud800{'x' * (MAX_MESSAGE - 1)} ... ({MAX_MESSAGE + 1} characters)"
