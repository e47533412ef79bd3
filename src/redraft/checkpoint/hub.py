"""The hub: a model by its id, or one GGUF file of a repository; found offline once it is here.

owner/name: the files of a checkpoint. owner/name:Q4_K_M: the GGUF file with that name of a type in
its own, with all its parts where it is split. owner/name/folder/file.gguf: that file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from redraft.checkpoint.gguf.split import part_names
from redraft.errors import CheckpointError

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, CachedRevisionInfo

# Files of a checkpoint: weights in safetensors alone.
DOWNLOADED = ("*.json", "*.safetensors", "*.jinja")
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+)|/([\w./-]+\.gguf))?")
Found = TypeVar("Found")


def is_hub_id(name: str) -> bool:
    """Return True for a name that has the form of a hub id."""
    return not name.startswith((".", "/", "~")) and HUB_ID.fullmatch(name) is not None


def download(name: str, revision: str | None) -> Path:
    """Return the folder of a checkpoint, or a GGUF file, which is downloaded unless it is here.

    An interrupted download goes on where it stopped.

    Args:
        name: a hub id, see above. revision: branch, tag or commit.

    Raises:
        CheckpointError: it is not here and cannot be downloaded, or there is no such file.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    match = HUB_ID.fullmatch(name)
    assert match is not None, name
    repo, kind, file = match.groups()
    if kind:
        file = _file_of_type(repo, kind, revision)
    if file:
        folder, _, name = file.rpartition("/")
        parts = [f"{folder}/{part}" if folder else part for part in part_names(name)] or [file]
        paths = [
            Path(_reached(repo, partial(hf_hub_download, repo, part, revision=revision)))
            for part in parts
        ]
        return paths[0]
    patterns = list(DOWNLOADED)
    return Path(
        _reached(repo, lambda: snapshot_download(repo, revision=revision, allow_patterns=patterns))
    )


def _file_of_type(repo: str, kind: str, revision: str | None) -> str:
    """Return the name of the one GGUF file whose name has the name of a type in it.

    Raises:
        CheckpointError: there is none, or more than one.
    """
    names = [name for name in _files(repo, revision) if name.endswith(".gguf")]
    names = [name for name in names if "mmproj" not in Path(name).name.lower()]
    wanted = re.compile(rf"(^|[-._/]){re.escape(kind)}([-._/]|$)", re.IGNORECASE)
    found = [name for name in names if wanted.search(name)]
    # Of a model in parts the first stands for all.
    found = [name for name in found if part_names(name)[:1] in ([], [name])]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(f"{repo} has several files of {kind}: name one, {_listed(found)}")
    there = _listed(names) if names else "none"
    raise CheckpointError(f"{repo} has no GGUF file of {kind}: there is {there}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more


def _files(repo: str, revision: str | None) -> list[str]:
    """Return the names of a repository's files on the hub, or of those here where it is not
    reached."""
    from huggingface_hub import HfApi

    try:
        return _reached(repo, lambda: HfApi().list_repo_files(repo, revision=revision))
    except CheckpointError:
        names: set[str] = set()
        for one in cached_models():
            if one.repo_id == repo:
                names.update(*map(_names, one.revisions))
        if not names:
            raise
        return sorted(names)


def cached_models() -> list[CachedRepoInfo]:
    """Return the model repositories in the hub's cache, by their names; none without a cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, OSError):
        return []
    models = [repo for repo in repos if repo.repo_type == "model"]
    return sorted(models, key=lambda repo: repo.repo_id)


def _names(revision: CachedRevisionInfo) -> list[str]:
    return [
        file.file_path.relative_to(revision.snapshot_path).as_posix() for file in revision.files
    ]


def _reached(repo: str, ask: Callable[[], Found]) -> Found:
    """Return what the hub answers.

    Raises:
        CheckpointError: it does not.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return ask()
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{repo} is not on this machine and could not be downloaded: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Return why the hub did not answer, in one line."""
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    if not isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return " ".join(str(error).split())
    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so that the hub is not asked"
    cause = " ".join(str(error.__cause__ or "").split())
    return f"the hub cannot be reached ({cause})" if cause else "the hub cannot be reached"
