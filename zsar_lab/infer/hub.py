"""Shared models in a model hub: a folder pushed into a repository, and a repository fetched into the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from zsar_lab import __version__
from zsar_lab.infer.shared_model import (
    CARD_FILE,
    CONFIG_FILE,
    SHARED_FILES,
    TEXTS_FILE,
    is_shared,
    load_shared,
)

TIMEOUT_S = 10.0
LOG_IN = "log in with 'hf auth login', or set HF_TOKEN"


def push_shared(folder: str | Path, repo: str, private: bool = True, token: str | None = None) -> str:
    """Put a shared model into a repository of the hub, in one commit; the repository is made if it is not there.

    Args:
        folder: that the export command left. Its five files are uploaded, whatever else it holds.
        repo: "owner/name", or "name" for one of the token's owner.
        private: of a repository that is made. One that is there stays as it is, and a public one is only
            written to with False.
        token: with the right to write; None for the one that 'hf auth login' or HF_TOKEN left.

    Returns:
        The repository's address.

    Raises:
        FileNotFoundError, ValueError: the folder holds no whole shared model, see `load_shared`.
        ValueError: a bad name or token, a repository that is public or holds another model, or a model card
            that the hub does not take.
        PermissionError: the hub does not know the token, or gives it no right to write.
        ConnectionError: the hub cannot be reached, or fails.
        RuntimeError: its client failed in a way that is not known here.
    """
    folder = Path(folder)
    load_shared(folder)
    if not (folder / CARD_FILE).is_file():
        raise FileNotFoundError(
            f"a shared model is pushed with its model card, '{folder}' has no {CARD_FILE}; export it again"
        )
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError(
            "a token must be one word, such as the hub shows it (hf_...), got an empty one or one with other signs; copy it again"
        )
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _pushing(repo):
        made = api.create_repo(repo, private=private, exist_ok=True)
        there = api.model_info(made.repo_id)
    _check_place(there, private)
    with _pushing(repo):
        message = f"Share a model of zsar_lab {__version__}"
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=list(SHARED_FILES),
            commit_message=message,
        )
    return str(made)


def fetch_shared(name: str) -> Path | None:
    """The folder of a shared model of the hub: from the hub's cache if it is whole there, so that no network is needed, else downloaded.

    A newer one in the hub is not asked for; delete the cached one (hf cache rm) to have it.

    Args:
        name: "owner/name".

    Returns:
        The folder, ready for `load_shared`; None where the hub's model of that name is no shared model.

    Raises:
        FileNotFoundError: the hub has no such model, or cannot be reached, or what it has is not whole.
        PermissionError: the hub does not know the token, or gives it no right to read.
        OSError: the cache cannot be written to.
        RuntimeError: the hub's client failed in a way that is not known here.
    """
    cached = None
    try:
        cached = _cached(name)
        if cached is not None and not is_shared(cached):
            return None
        if cached is not None and _opens(cached):
            return cached
        folder = _downloaded(name, again=cached is not None and not _lacks(cached))
    except Exception as error:  # many kinds: of the hub's client, of its HTTP package, of xet
        if cached is not None and not _lacks(cached):
            return cached  # damaged or of another version, which load_shared says
        kind, why, cure = _why(error)
        kind = FileNotFoundError if kind in (ValueError, ConnectionError) else kind
        raise kind(
            f"a model must be a folder or a model of the hub, '{name}' is no folder, and {why}; {cure}"
        ) from error
    missing = [] if folder is None else _lacks(folder)
    if missing:
        raise FileNotFoundError(
            f"a shared model must be whole, of '{name}' the cache lacks {missing[0]} and the hub did not give it; try again with a network, or have"
            " it pushed again"
        )
    return folder


def _cached(name: str) -> Path | None:
    """The cached folder of a model, whole or not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, CONFIG_FILE)
    return Path(found).parent if isinstance(found, str) else None


def _downloaded(name: str, again: bool) -> Path | None:
    """Fetch config.json first, so that nothing else of a model of another kind is downloaded; None where it is one."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    there = HfApi().model_info(
        name, timeout=TIMEOUT_S
    )  # asked once: a download is tried for half a minute where there is no network
    if CONFIG_FILE not in {file.rfilename for file in there.siblings or []}:
        return None
    if not is_shared(Path(hf_hub_download(name, CONFIG_FILE)).parent):
        return None
    return Path(snapshot_download(name, allow_patterns=list(SHARED_FILES), force_download=again))


def _lacks(folder: Path) -> list[str]:
    return [name for name in SHARED_FILES if name != CARD_FILE and not (folder / name).is_file()]


def _opens(folder: Path) -> bool:
    """False for what an interrupted download left or was damaged since, so that it is fetched again."""
    try:
        load_shared(folder)
    except ValueError:
        return False
    return True


@contextmanager
def _pushing(repo: str) -> Iterator[None]:
    """Say in one sentence why a repository could not be written to."""
    try:
        yield
    except Exception as error:  # many kinds: of the hub's client, of its HTTP package, of xet
        kind, why, cure = _why(error)
        kind = PermissionError if kind is FileNotFoundError else kind
        raise kind(
            f"a shared model must be written to the hub, but '{repo}' was not: {why}; {cure}"
        ) from error


def _check_place(info: Any, private: bool) -> None:
    names = {file.rfilename for file in info.siblings or []}
    others = sorted(names & set(SHARED_FILES) - {CARD_FILE})
    if others and TEXTS_FILE not in names:
        raise ValueError(
            f"a shared model needs a repository of its own, '{info.id}' holds another model ({others[0]}); choose another name"
        )
    if private and info.private is False:
        raise ValueError(
            f"a private model cannot go into a public repository, '{info.id}' is public; push it as public, or choose another name"
        )


def _why(error: Exception) -> tuple[type[Exception], str, str]:
    """What kind of error it is to the user, why it came, and what to do; the client's own words are many lines, and may hold the token."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    while isinstance(error, (LocalEntryNotFoundError, RuntimeError)) and isinstance(
        error.__cause__, Exception
    ):
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HFValidationError):
        return (
            ValueError,
            "that is no name of the hub (owner/name, of letters, digits, '-', '_' and '.')",
            "mend it",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return ConnectionError, "the hub may not be asked, HF_HUB_OFFLINE is set", "unset it"
    if isinstance(error, GatedRepoError):
        return PermissionError, "the hub gives it on request alone", f"ask for it on its page, and {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return (
            FileNotFoundError,
            "the hub has none of that name, or not for you",
            f"mend the name, or {LOG_IN}",
        )
    if status == 401:
        return (
            PermissionError,
            "the hub does not know who asks (no token, or one that it does not take)",
            LOG_IN,
        )
    if status == 403:
        return (
            PermissionError,
            "the token gives no right to it",
            "take a token with that right, or another name",
        )
    if status is not None:
        return (
            ConnectionError,
            f"the hub answered {status}{_first_line(getattr(error, 'server_message', None))}",
            "try again later",
        )
    if isinstance(error, ValueError) and not isinstance(error, JSONDecodeError):
        return ValueError, f"the hub's client refused it{_first_line(error)}", "mend it"
    if isinstance(error, OSError) and error.filename:
        return (
            OSError,
            f"a file could not be read or written here ({error.strerror}: '{error.filename}')",
            "free some room, or change its rights",
        )
    if isinstance(
        error, (HTTPError, OSError, JSONDecodeError)
    ):  # of the network, or an answer that is no hub's
        return (
            ConnectionError,
            f"the hub cannot be reached at {constants.ENDPOINT} ({type(error).__name__})",
            "try again with a network",
        )
    return (
        RuntimeError,
        f"the hub's client failed with {type(error).__name__}{_first_line(error)}",
        "try again, or update huggingface_hub",
    )


def _first_line(words: Any) -> str:
    lines = [line.strip() for line in str(words or "").splitlines() if line.strip()]
    return f" ({' '.join(lines)[:200]})" if lines else ""
