"""Shared models in a model hub: push a folder into a repository, fetch a repository into the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from json import JSONDecodeError
from pathlib import Path

from zsar_lab import __version__
from zsar_lab.infer import shared
from zsar_lab.infer.shared import SHARED_FILES, SharedModelError, is_shared, load_shared

TIMEOUT_S, LOG_IN = 10.0, "log in with 'hf auth login' or HF_TOKEN"


def push_shared(folder: str | Path, repo: str, private: bool = True, token: str | None = None) -> str:
    """Put a shared model into a repository of the hub, in one commit; returns the repository's address.

    Args:
        folder: that export left, whole. Its five files are uploaded, whatever else it holds.
        repo: "owner/name", or "name" for one of the token's owner; made if it is missing. ValueError for one
            that holds another model.
        private: of a repository that is made. A public one that is there is written to only with False.
        token: with the right to write (else PermissionError); None for the one that 'hf auth login' or
            HF_TOKEN left.
    """
    folder = Path(folder)
    load_shared(folder)
    if not (folder / shared.CARD_FILE).is_file():
        raise FileNotFoundError(
            f"a pushed model needs its card, '{folder}' has no {shared.CARD_FILE}; export again"
        )
    if token is not None and not (token.isascii() and token.isprintable() and len(token.split()) == 1):
        raise ValueError("a token must be one word (hf_...), got an empty one or one with other signs")
    from huggingface_hub import HfApi

    api, what = HfApi(token=token), f"'{repo}' could not be written to"
    with _explained(what):
        made = api.create_repo(repo, private=private, exist_ok=True)
        there = api.model_info(made.repo_id)
    names = {file.rfilename for file in there.siblings or []}
    if shared.TEXTS_FILE not in names and names & set(SHARED_FILES) - {shared.CARD_FILE}:
        raise ValueError(f"a shared model needs a repository of its own, '{there.id}' holds another model")
    if private and there.private is False:
        raise ValueError(f"'{there.id}' is public; push the model as public, or choose another name")
    with _explained(what):
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=list(SHARED_FILES),
            commit_message=f"Share a model of zsar_lab {__version__}",
        )
    return str(made)


def fetch_shared(name: str, revision: str | None = None) -> Path | None:
    """The folder of a shared model of the hub: from the hub's cache if it is whole there, else downloaded.

    `revision` is a commit, branch or tag (None: main). None where the hub's model of that name ("owner/name")
    is no shared model. A newer one is not asked for; delete the cached one (hf cache rm) to have it.

    Raises:
        FileNotFoundError: the hub has no such model or revision, is not reached, or its model is not whole.
        PermissionError, OSError: the token gives no right to read; the cache cannot be written to.
    """
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    if is_path or ("/" in name and Path(name).parent.is_dir()):
        raise FileNotFoundError(f"there is no folder '{name}'")
    from huggingface_hub import try_to_load_from_cache

    at = f" at {revision}" if revision else ""
    what = f"'{name}' is no folder, and no model that the hub gives{at}"
    with _explained(what, reading=True):
        found = try_to_load_from_cache(name, shared.CONFIG_FILE, revision=revision)
    cached = Path(found).parent if isinstance(found, str) else None
    if cached is not None:
        if not is_shared(cached):
            return None
        with suppress(SharedModelError):  # an interrupted download, or damaged since: fetched again
            load_shared(cached)
            return cached
    with _explained(what, reading=True):
        folder = _downloaded(name, revision, again=cached is not None and not _missing(cached))
    if folder is not None and _missing(folder):
        raise FileNotFoundError(f"'{name}' in the hub is not whole, it lacks {_missing(folder)[0]}")
    return folder


def _downloaded(name: str, revision: str | None, again: bool) -> Path | None:
    """Fetch config.json first, so that no more is downloaded of a model of another kind; None for one."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    # asked once: a download is tried for half a minute where there is no network
    there = HfApi().model_info(name, revision=revision, timeout=TIMEOUT_S)
    if shared.CONFIG_FILE not in {file.rfilename for file in there.siblings or []}:
        return None
    if not is_shared(Path(hf_hub_download(name, shared.CONFIG_FILE, revision=revision)).parent):
        return None
    wanted = list(SHARED_FILES)
    return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, force_download=again))


def _missing(folder: Path) -> list[str]:
    return [name for name in SHARED_FILES if name != shared.CARD_FILE and not (folder / name).is_file()]


@contextmanager
def _explained(what: str, reading: bool = False) -> Iterator[None]:
    """One sentence in place of the client's words, which are many lines and may hold the token."""
    try:
        yield
    except Exception as error:  # many kinds: of the hub's client, of its HTTP package, of xet
        kind, why = _reason(error)
        if reading and kind in (ValueError, ConnectionError):
            kind = FileNotFoundError  # it may have been meant as a path
        raise kind(f"{what}: {why}") from error


def _reason(error: BaseException) -> tuple[type[Exception], str]:
    """What kind of error it is to the user, and why it came."""
    from huggingface_hub import constants, errors

    wrapped = (errors.LocalEntryNotFoundError, RuntimeError)
    while isinstance(error, wrapped) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    words = str(getattr(error, "server_message", "") if status else error).split()
    first = f" ({' '.join(words)[:200]})" if words else ""
    if isinstance(error, errors.RevisionNotFoundError):
        return FileNotFoundError, "it has no such revision"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return FileNotFoundError, f"none of that name, or not for you; {LOG_IN}"
    if status in (401, 403):
        known = "gives no right to it" if status == 403 else f"is not known; {LOG_IN}"
        return PermissionError, f"the token {known}"
    if status is not None:
        return ConnectionError, f"the hub answered {status}{first}"
    if isinstance(error, ValueError) and not isinstance(error, JSONDecodeError):
        return ValueError, f"the hub's client refused it{first}"
    if isinstance(error, OSError) and error.filename:
        return OSError, f"{error.strerror}: '{error.filename}'"
    if isinstance(error, (errors.HTTPError, OSError, JSONDecodeError)):  # the network, or no hub answered
        return ConnectionError, f"cannot reach {constants.ENDPOINT} ({type(error).__name__})"
    return RuntimeError, f"{type(error).__name__}{first}"
