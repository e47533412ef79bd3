"""Pages that are written by scripts say what the source says today."""

from __future__ import annotations

import sys
from dataclasses import fields

import redraft
from redraft import errors
from redraft.cli.options import SamplerOption, StoppingOption
from redraft.config import GenerationConfig
from redraft.diffusion import SAMPLERS, STOPPING
from tests.docs.blocks import DOCS

sys.path.insert(0, str(DOCS))
import cli_reference
import floors


def test_the_commands_help_is_in_the_docs() -> None:
    text = cli_reference.PAGE.read_text(encoding="utf-8")
    assert cli_reference.page(text) == text, "run python docs/cli_reference.py"


def test_the_picture_of_the_floors_is_that_of_the_imports() -> None:
    assert floors.PICTURE.read_text(encoding="utf-8") == floors.draw(), "run python docs/floors.py"


def test_every_room_has_a_purpose_in_the_picture() -> None:
    assert set(floors.PURPOSES) == set(floors.places())


def test_every_setting_is_in_the_docs() -> None:
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert not [field.name for field in fields(GenerationConfig) if f"`{field.name}`" not in page]


def test_every_sampler_and_stop_is_in_the_docs_and_the_help() -> None:
    """By its name in the tables and in the options' help; its class is in the room of the reference."""
    help_of = {"sampler": SamplerOption, "stopping": StoppingOption}
    pages = [DOCS / "how-to" / "samplers.md", DOCS / "reference" / "settings.md"]
    for kind, table in (("sampler", SAMPLERS), ("stopping", STOPPING)):
        (option,) = help_of[kind].__metadata__
        for name, made in table.items():
            assert name in option.help
            assert made.__name__ in redraft.diffusion.__all__
            for page in pages:
                assert f"`{name}`" in page.read_text(encoding="utf-8")


def test_every_error_is_in_the_docs() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    kinds = [name for name, one in vars(errors).items() if isinstance(one, type)]
    assert len(kinds) > 10
    assert not [name for name in kinds if name != "RedraftError" and f"| `{name}` |" not in page]


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    homes = ("redraft.", "redraft.events.", "redraft.errors.")
    missing = [
        name
        for name in redraft.__all__
        if not any(f"::: {home}{name}\n" in page for home in homes)
        and name not in ("Event", "RedraftError")
    ]
    assert not missing


def test_every_route_is_in_the_docs() -> None:
    from redraft.server import Settings, create_app

    page = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
    app = create_app({}, Settings())
    paths = {path for path in app.openapi()["paths"] if path.startswith("/v1")}
    assert len(paths) > 8
    plain = {path.replace("{name}", "ID").replace("{title}", "TITLE") for path in paths}
    assert not [path for path in plain if path not in page and not path.endswith("redo")]
