"""Models by the names of a hub, through the real client, from a server that speaks as the hub does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from redraft.checkpoint.hub import is_hub_id
from tests.checkpoint.gguf_files import write
from tests.checkpoint.hub_server import Hub, serve_hub

# Files here are smaller than the pieces in which the client reads.
SCRIPT = """
import sys
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
from redraft.checkpoint import open_checkpoint
from redraft.errors import CheckpointError
for name in sys.argv[1:]:
    try:
        name, _, revision = name.partition("@")
        found = open_checkpoint(name, revision=revision or None)
        print("here", found.path.name, found.config.vocab_size)
    except CheckpointError as error:
        print("error", error)
"""


class Client:
    """Opens names in a process of its own, whose cache is a folder."""

    def __init__(self, address: str, cache: Path, hub: type[Hub]) -> None:
        self.address, self.cache, self.hub = address, cache, hub

    def open(self, *names: str, offline: bool = False) -> list[str]:
        env = os.environ | {
            "HF_ENDPOINT": self.address,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HOME": str(self.cache.parent),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "HF_TOKEN": "hf_secret",
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *names], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def client(tmp_path: Path, checkpoint: Path) -> Iterator[Client]:
    shutil.copytree(checkpoint, tmp_path / "hub" / "someone" / "tiny")
    (tmp_path / "hub" / "someone" / "tiny" / "weights.bin").write_bytes(b"\0" * 100)
    files = tmp_path / "hub" / "someone" / "tiny-GGUF"
    files.mkdir()
    write(files / "tiny-Q8_0.gguf")
    shutil.copy(files / "tiny-Q8_0.gguf", files / "tiny-Q4_K_M.gguf")
    (files / "BF16").mkdir()
    write(files / "BF16" / "tiny-BF16.gguf", split=50)
    (files / "mmproj-Q4_K_M.gguf").write_bytes(b"GGUF")
    tagged = tmp_path / "hub" / "someone" / "tiny-GGUF@v1"
    tagged.mkdir()
    write(tagged / "old-Q8_0.gguf")
    with serve_hub(tmp_path / "hub") as (address, hub):
        yield Client(address, tmp_path / "home" / "cache", hub)


def test_what_is_downloaded_once_is_found_offline(client: Client) -> None:
    parts = sorted((client.hub.root / "someone" / "tiny-GGUF" / "BF16").iterdir())
    names = (
        "someone/tiny", "someone/tiny-GGUF:q4_k_m", "someone/tiny-GGUF/tiny-Q8_0.gguf", "someone/tiny-GGUF:BF16",
        f"someone/tiny-GGUF/BF16/{parts[1].name}",
    )  # fmt: skip
    first = client.open(*names)
    assert [line.split()[0] for line in first] == ["here"] * 5, first
    files = ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", parts[0].name, parts[0].name]
    assert [line.split()[1] for line in first[1:]] == files
    assert not list(client.cache.rglob("weights.bin"))  # no file but a checkpoint's comes
    assert not client.hub.leaked  # the token is for the hub alone
    assert client.open(*names, offline=True) == first


def test_what_is_not_there_is_told_in_one_line(client: Client) -> None:
    told = client.open(
        "someone/tiny-GGUF:Q5_K_M", "someone/tiny:Q4_K_M",
        "nobody/nothing", "someone/tiny-GGUF/none.gguf", "someone/tiny-GGUF",
    )  # fmt: skip
    assert len(told) == 5
    for line, words in zip(told, (
        "no GGUF file of Q5_K_M: there is", "there is none",
        "nobody/nothing is not on this machine", "could not be downloaded", "GGUF",
    ), strict=True):  # fmt: skip
        assert line.startswith("error ")
        assert words in line, line
    for line, words in zip(client.open(
        "someone/secret-gated:Q8_0", "someone/tiny-GGUF@nothing", "someone/tiny-GGUF:Q8_0@v2",
        "someone/tiny-GGUF/../../x.gguf", "someone/tiny-GGUF//etc/x.gguf",
    ), ("401", "nothing", "v2", "..", "/etc/x.gguf"), strict=True):  # fmt: skip
        assert line.startswith("error "), line
        assert words in line, line
    (offline,) = client.open("someone/new:Q8_0", offline=True)
    assert offline.endswith(
        "someone/new is not on this machine and could not be downloaded: HF_HUB_OFFLINE is set, so "
        "that the hub is not asked"
    )


def test_a_download_that_broke_off_goes_on(client: Client) -> None:
    size = (client.hub.root / "someone" / "tiny-GGUF" / "tiny-Q8_0.gguf").stat().st_size
    client.hub.breaks_after = size // 2
    found = [client.open("someone/tiny-GGUF:Q8_0") for _ in range(2)]
    assert found[-1][0].startswith("here tiny-Q8_0.gguf")
    assert client.hub.ranges, "the second half was not asked for"
    assert int(client.hub.ranges[0].removeprefix("bytes=").split("-")[0]) > 0


@pytest.mark.long
def test_a_revision_a_busy_host_and_invented_names(client: Client) -> None:
    client.hub.failures = [503]
    client.hub.invented = ("../../Q6_K.gguf", "/etc/Q5_K.gguf", "a/" * 500 + "Q5_K.gguf")
    busy, tagged, new, outside, deep = client.open(
        "someone/tiny-GGUF:q8_0@v1",
        "someone/tiny-GGUF:q8_0@v1",
        f"someone/tiny-GGUF:Q8_0@{'c' * 40}",
        "someone/tiny-GGUF:Q6_K",
        "someone/tiny-GGUF:Q5_K",
    )
    assert busy.startswith("error someone/tiny-GGUF is not on this machine"), busy
    assert "503" in busy
    assert tagged.startswith("here old-Q8_0.gguf"), tagged
    assert new.startswith("here tiny-Q8_0.gguf"), new
    assert not client.hub.failures
    assert outside.startswith("error "), outside
    assert deep.startswith("error "), deep
    assert not [path for path in client.cache.parent.rglob("*") if "Q6_K" in path.name]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("google/diffusiongemma-26B-A4B-it", True), ("a/b:Q4_K_M", True), ("a/b/c/d.gguf", True),
        ("a/b/d.gguf", True), ("a/b/../../d.gguf", True), ("a", False), ("a/b/c", False), ("./a/b", False), ("/a/b", False),
        ("~/a", False), ("a/b:", False), ("a b/c", False), ("C:\\a\\b", False), ("", False),
    ],
)  # fmt: skip
def test_a_hub_id_has_its_form(name: str, is_one: bool) -> None:
    assert is_hub_id(name) is is_one
