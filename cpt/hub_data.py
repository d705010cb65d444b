"""Data sets that `datasets.load_dataset` opens by itself: those of the hub, and directories.

A hub data set is read at one commit, which is found before anything else is done (`commit_of`);
`datasets` by itself would ask anew each time, and without the hub take whatever copy is youngest.
"""

import difflib
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cpt.dataset_config import FILE_FORMATS, SourceConfig
from cpt.parsing import ConfigError, nearest, shown

COMMIT = re.compile(r"[0-9a-f]{40}")

CARD = "README.md"
"""The file whose presence in huggingface_hub's cache tells what a revision named last."""

SECONDS_TO_ANSWER = 100.0
"""As `datasets` waits."""


def commit_of(source: SourceConfig, field: str) -> str:
    """The commit that the revision of a hub data set names now.

    Without the hub: a revision that is a commit hash is that commit; any other is what it named
    when this machine last asked, which huggingface_hub keeps in its cache.

    Raises:
        ConfigError: There is no such data set, revision, configuration or split, a token is
            needed, or the hub cannot be reached and the cache does not know.
    """
    from huggingface_hub import HfApi, errors

    rule = (
        f"must be one of {', '.join(FILE_FORMATS)}, a directory, or a hub id that can be reached "
        "or is in the cache"
    )
    revision = source.revision or "main"
    with _refusing(source, field, rule):
        try:
            asked = HfApi().dataset_info(source.path, revision=revision, timeout=SECONDS_TO_ANSWER)
        except _transport_errors() as error:
            known = None if _is_answer(error) else _last_known(source.path, revision)
            if known is None:
                raise
            return known
        with suppress(errors.EntryNotFoundError):
            # For who asks without the hub.
            HfApi().hf_hub_download(source.path, CARD, repo_type="dataset", revision=revision)
        commit = str(asked.sha)
        _builder(source.model_copy(update={"revision": commit}), field)
        return commit


def opened(source: SourceConfig, names: Sequence[str], field: str) -> list[Any]:
    """One `datasets.Dataset` or, streaming, `IterableDataset` for each split named.

    Args:
        source: A directory, or a hub data set whose revision is a commit hash.
        names: Splits, or slices of them.
        field: Dotted name of the source, e.g. `datasets.german`.

    Raises:
        ConfigError: It cannot be opened, or lacks a split.
    """
    with _refusing(source, field, "cannot be opened"):
        builder = _builder(source, field)
        if source.streaming:
            return [builder.as_streaming_dataset(split=name) for name in names]
        builder.download_and_prepare()
        return [builder.as_dataset(split=name) for name in names]


def tables(part: Any, rows: int, source: SourceConfig, field: str) -> Iterator[Any]:
    """The `pyarrow.Table`s of what `opened` gave, some rows each.

    Raises:
        ConfigError: It cannot be read to its end.
    """
    with _refusing(source, field, "cannot be read"):
        yield from part.with_format("arrow").iter(batch_size=rows)


def library() -> Any:
    """`datasets`, quiet: what it and the hub's client would report is in the errors they raise.

    It would also tell Hugging Face of every file that it opens, local ones too; behind a firewall
    that takes twenty seconds a file. And it would import torch, for two seconds, to count epochs
    where the processes of a torch loader see them; nothing here has one.
    """
    import datasets
    from huggingface_hub.utils import disable_progress_bars, logging

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.config.TORCH_AVAILABLE = False
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    return datasets


def reason(error: BaseException) -> str:
    """The first line of an error, without its full stop; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _builder(source: SourceConfig, field: str) -> Any:
    """The `DatasetBuilder`, whose configuration and splits are those of the source."""
    datasets = library()
    try:
        builder = datasets.load_dataset_builder(
            source.path, name=source.name, revision=source.revision
        )
    except ValueError as error:
        legal = datasets.get_dataset_config_names(source.path, revision=source.revision)
        if source.name in legal or len(legal) == 1:  # the only one of a copy is not all there are
            raise
        got, hint = "nothing", f"; legal here: {', '.join(legal)}."
        if source.name is not None:
            got, hint = shown(source.name), nearest(source.name, legal)
        raise ConfigError(
            [f"{field}.name: got {got}; must be a configuration of {source.path}{hint}"]
        ) from error
    if not Path(source.path).is_dir() and builder.hash != source.revision:
        # Whatever went wrong, `datasets` falls back on the youngest copy of any commit.
        raise ConfigError(
            [
                f"{field}.revision: got {shown(source.revision)}; {source.path} cannot be opened "
                f"there, and the copy in the cache is of {builder.hash}."
            ]
        )
    _check_splits(source, [str(name) for name in builder.config.data_files or ()], field)
    return builder


def _check_splits(source: SourceConfig, legal: Sequence[str], field: str) -> None:
    """Before anything is copied; a copy in the cache does not tell its splits here."""
    faults = []
    for split in ("train", "validation"):
        for name in getattr(source, split):
            asked = [part.partition("[")[0].strip() for part in name.split("+")]
            unknown = [part for part in asked if part not in (*legal, "all")]
            if legal and unknown:
                faults.append(
                    f"{field}.{split}: got {shown(name)}; must be a split of {source.path}"
                    f"{nearest(unknown[0], legal)}"
                )
    if faults:
        raise ConfigError(faults)


def _last_known(path: str, revision: str) -> str | None:
    """The commit that a revision names, as far as this machine knows."""
    from huggingface_hub import try_to_load_from_cache

    if COMMIT.fullmatch(revision):
        return revision
    card = try_to_load_from_cache(path, CARD, revision=revision, repo_type="dataset")
    # Below a directory that is named by the commit, as `datasets` itself reads it.
    return Path(card).parent.name if isinstance(card, str) else None


def _transport_errors() -> tuple[type[Exception], ...]:
    """What is raised when the hub does not answer, or refuses."""
    from huggingface_hub.utils import httpx

    return (OSError, httpx.HTTPError)


def _is_answer(error: Exception) -> bool:
    """Whether the hub was reached and said no."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code < 500


@contextmanager
def _refusing(source: SourceConfig, field: str, rule: str) -> Iterator[None]:
    """Turns what the libraries raise into one sentence."""
    generic = library().exceptions.DatasetsError
    raised = (ValueError, EOFError, zlib.error, generic, *_transport_errors())
    try:
        yield
    except ConfigError:
        raise
    except raised as error:
        # "An error occurred while generating the dataset" says less than what it was.
        cause = (isinstance(error, generic) and error.__cause__) or error
        raise ConfigError([_refusal(source, field, rule, cause)]) from error


def _refusal(source: SourceConfig, field: str, rule: str, error: BaseException) -> str:
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx

    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    path = f"{field}.path: got {shown(source.path, 300)}"
    for cause in causes:
        match cause:
            case errors.GatedRepoError():
                return (
                    f"{path}; must be open to you, but the hub gives it only to those who were "
                    "granted access; ask for it on its page, and put your token into HF_TOKEN."
                )
            case errors.RepositoryNotFoundError():
                return (
                    f"{path}; {rule}, but the hub has no such data set, or a private one, which "
                    f"needs a token in HF_TOKEN{_slip(source.path)}"
                )
            case errors.RevisionNotFoundError():
                return (
                    f"{field}.revision: got {shown(source.revision)}; must be a branch, tag or "
                    f"commit of {source.path}."
                )
            case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.ReadTimeout():
                return (
                    f"{path}; must be read to its end, but the connection kept breaking "
                    f"({reason(cause)}); run it again."
                )
    return f"{path}; {rule} ({reason(error)}){_slip(source.path)}"


def _slip(path: str) -> str:
    slip = difflib.get_close_matches(path, FILE_FORMATS, n=1)
    return nearest(path, FILE_FORMATS) if slip else "."
