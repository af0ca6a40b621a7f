"""Files of a Hugging Face hub: fetched whole, compared with its checksums, one message for every failure."""

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixlingua.errors import HubError, causes, first_line
from mixlingua.files import sha256, storage_error

logger = logging.getLogger(__name__)

_HUB = "https://huggingface.co"


def endpoint() -> str:
    """The hub's address: $HF_ENDPOINT, else the public one."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB


def on_endpoint(url: str) -> str:
    """A URL of the public hub, on the hub that HF_ENDPOINT names."""
    return endpoint() + url.removeprefix(_HUB) if url.startswith(f"{_HUB}/") else url


def fetch_snapshot(
    repository: str,
    revision: str | None,
    patterns: Sequence[str],
    *,
    ignored: Sequence[str] = (),
    data: bool = False,
) -> Path:
    """The folder of a repository's files in the hub's cache, fetched where they are not there.

    patterns, ignored: shell patterns of the files. data: of a data set, not of a model. What was fetched is compared
    with its checksum, and removed where it is another file. Raises HubError saying why it cannot be had, StorageError
    for a full disk.
    """
    from huggingface_hub import snapshot_download

    started = time.time()
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                repo_type="dataset" if data else None,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
                endpoint=endpoint(),
            )
        )
    except Exception as error:  # the client raises its own errors, those of two HTTP libraries and OSErrors
        if full := storage_error(Path(_cache()), error):
            raise full from error
        raise HubError(_reason(error, repository, revision)) from error
    if damaged := remove_damaged(folder, newer_than=started - 1):
        raise HubError(
            f"{endpoint()} gave {', '.join(damaged)} of {repository} damaged: the content is not that of its checksum. "
            "It was removed; run again to fetch it anew"
        )
    return folder


def upload_folder(folder: Path, repository: str, *, private: bool, message: str) -> str:
    """Upload a folder's files to a repository of models in one commit, making the repository where it is not there.

    private: whether a new repository is. message: of the commit. Hidden files stay. Returns the address of the commit.
    Raises HubError saying why the hub does not take it; the repository then has no part of the files.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint())
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, ignore_patterns=[".*", "*/.*"]
        )
    except Exception as error:  # as in `fetch_snapshot`
        raise HubError(_refusal(error, repository)) from error
    return str(commit.commit_url)


def remove_damaged(folder: Path, newer_than: float = 0.0) -> list[str]:
    """Remove files of a hub's cache whose content is not that of their checksum, and return their names.

    newer_than: a time; older files are not looked at. Files outside a hub's cache are left alone.
    """
    damaged = []
    for file, blob in _blobs(folder):
        if blob.stat().st_mtime >= newer_than and not _is_whole(blob):
            damaged.append(file.relative_to(folder).as_posix())
            file.unlink()
            blob.unlink()
    return damaged


def _blobs(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each file that is a link to a blob of the hub's cache, which is named by its checksum; and the blob."""
    for file in sorted(folder.rglob("*")):
        blob = file.resolve()
        if file.is_symlink() and blob.is_file() and re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
            yield file, blob


def _is_whole(blob: Path) -> bool:
    if len(blob.name) == 64:
        return sha256(blob) == blob.name
    content = blob.read_bytes()  # git's own checksum, which only small files have
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == blob.name


def _cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _reason(error: Exception, repository: str, revision: str | None) -> str:
    """Why the hub did not give a repository, and what to do."""
    from huggingface_hub import errors

    chain = list(causes(error, contexts=True))

    def raised(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in chain)

    responses = (getattr(cause, "response", None) for cause in chain)
    status = next((response.status_code for response in responses if response is not None), None)
    where = f"{endpoint()}/{repository}"
    if raised(errors.GatedRepoError):
        return f"{where} is gated: accept its terms there, and set HF_TOKEN to a token of your account"
    if raised(errors.RevisionNotFoundError):
        return f"{where} has no revision '{revision}': name a branch, tag or commit of it"
    if raised(errors.OfflineModeIsEnabled):
        part = "the cache has only a part of it, and " if raised(errors.IncompleteSnapshotError) else ""
        return f"{part}HF_HUB_OFFLINE is set, so that {endpoint()} was not asked"
    reasons = {
        401: "asks for a token, or does not exist: check the name, and set HF_TOKEN if it is private",
        403: "is forbidden to this token: set HF_TOKEN to one that may read it",
        404: "does not exist, or lacks a file that it lists: check the name",
        429: "was asked too often: wait some minutes, or set HF_TOKEN for a higher limit",
    }
    if status in reasons:
        return f"{where} {reasons[status]} (HTTP {status})"
    if raised(errors.RepositoryNotFoundError):
        return f"{where} {reasons[404]}"
    if status is not None:
        return f"{where} failed with HTTP {status}: the server has trouble; run again later"
    if raised(PermissionError) or any("Read-only file system" in str(cause) for cause in chain):
        return f"{_cache()} cannot be written: set HF_HOME to a folder that can"
    kinds = {type(cause).__name__ for cause in chain}
    if any("Timeout" in kind for kind in kinds):
        return f"{endpoint()} did not answer in time: run again, or set HF_HUB_DOWNLOAD_TIMEOUT (seconds) higher"
    if "RemoteProtocolError" in kinds or "ReadError" in kinds or any("onsistency check" in str(c) for c in chain):
        return f"{endpoint()} ended an answer early: run again; what has arrived whole is kept"
    if "ConnectError" in kinds:
        return f"{endpoint()} cannot be reached"
    return f"{where} was not given ({type(chain[-1]).__name__}: {first_line(chain[-1])})"


def _refusal(error: Exception, repository: str) -> str:
    """Why the hub did not take a repository's files, and what to do."""
    where = f"{endpoint()}/{repository}"
    responses = (getattr(cause, "response", None) for cause in causes(error, contexts=True))
    status = next((response.status_code for response in responses if response is not None), None)
    if status in (401, 403):
        return (
            f"{where} does not take files from you (HTTP {status}): set HF_TOKEN to a token that may write there "
            "(https://huggingface.co/settings/tokens), and check the name of the owner"
        )
    if status in (400, 422) or (status is None and isinstance(error, ValueError)):
        return f"{where} refused the files: {' '.join(str(error).split())}"
    return _reason(error, repository, None)
