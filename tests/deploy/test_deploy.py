"""The files of deployment name commands, options, paths and metrics that exist."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.main import get_command

import redraft
from redraft.cli.app import app as command
from redraft.server import Settings, create_app

FOLDER = Path(__file__).parents[2] / "deploy"
KUBERNETES = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
CONTAINERFILE = (FOLDER / "Containerfile").read_text()


@pytest.fixture(scope="module")
def server() -> Any:
    settings = Settings(api_key="secret")
    with TestClient(create_app({"small": redraft.load("small")}, settings)) as client:
        yield client


@pytest.mark.parametrize("version", ["1.30", "1.35"])
def test_kubernetes_knows_every_field(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="the extra `test` has it")
    for one in KUBERNETES:
        assert validate.validate(one, version, strict=True) == version
    misspelt = KUBERNETES[-1] | {"spec": KUBERNETES[-1]["spec"] | {"replica": 1}}
    with pytest.raises(validate.ValidationError, match="'replica' was unexpected"):
        validate.validate(misspelt, version, strict=True)


def container() -> Any:
    (deployment,) = [one for one in KUBERNETES if one["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((FOLDER / "redraft.service").read_text())
    return parser


def command_lines() -> dict[str, list[str]]:
    (given,) = re.findall(r"^CMD (.*)$", CONTAINERFILE, re.MULTILINE)
    program, *words = shlex.split(unit()["Service"]["ExecStart"])
    assert program.endswith("/bin/redraft")
    return {
        "Containerfile": json.loads(given),
        "compose": COMPOSE["services"]["redraft"]["command"],
        "kubernetes": container()["args"],
        "systemd": words,
    }


@pytest.mark.parametrize("name", ["Containerfile", "compose", "kubernetes", "systemd"])
def test_every_command_has_options_that_exist(name: str) -> None:
    first, *words = command_lines()[name]
    found = get_command(command).commands[first]  # type: ignore[attr-defined]
    known = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
    given = {word for word in words if word.startswith("--")}
    assert given <= known
    assert given


@pytest.mark.parametrize("name", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_are_answered_without_a_key(name: str, server: TestClient) -> None:
    probe = container()[name]["httpGet"]
    assert probe["port"] in {one["name"] for one in container()["ports"]}
    assert server.get(probe["path"]).status_code == 200


def test_the_images_health_check_asks_a_path_that_is_there(server: TestClient) -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", CONTAINERFILE)
    assert server.get(path).status_code == 200


def test_stops_leave_more_time_than_the_server_takes() -> None:
    words = container()["args"]
    grace = float(words[words.index("--grace") + 1])
    (deployment,) = [one for one in KUBERNETES if one["kind"] == "Deployment"]
    seconds = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert seconds > grace
    assert float(unit()["Service"]["TimeoutStopSec"]) > grace
    assert float(COMPOSE["services"]["redraft"]["stop_grace_period"].rstrip("s")) > 8  # its default


def test_what_the_image_copies_is_there() -> None:
    root = FOLDER.parent
    copied = " ".join(re.findall(r"^COPY (.*) \S+$", CONTAINERFILE, re.MULTILINE)).split()
    assert "pyproject.toml" in copied
    assert not [name for name in copied if not (root / name).exists()]


def test_the_dashboard_asks_for_metrics_that_the_server_has(server: TestClient) -> None:
    board = json.loads((FOLDER / "grafana.json").read_text())
    asked: set[str] = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bredraft_\w+", target["expr"]))
    assert len(asked) > 10
    page = server.get("/metrics", headers={"authorization": "Bearer secret"}).text
    exposed = set(re.findall(r"^# TYPE (\w+) (?:gauge|counter)$", page, re.MULTILINE))
    for name in re.findall(r"^# TYPE (\w+) histogram$", page, re.MULTILINE):
        exposed |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    assert asked <= exposed
    assert server.get("/metrics").status_code == 401
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
