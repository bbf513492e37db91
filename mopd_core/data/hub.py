"""The edge to the `datasets` library: Hugging Face data sets and Parquet files, with its errors made into one line.

Imported only when such data is read, because `datasets` takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from mopd_core.data.rows import Table, make_table
from mopd_core.errors import DataError
from mopd_core.types import Json

PROBE_TIMEOUT_S = 10.0
"""How long Hugging Face has to answer before the local cache is used."""

_HTTP_ERROR: type[BaseException] = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
"""Root of the errors of whichever HTTP library huggingface_hub uses: it has changed twice, and is not exported."""


def read_parquet(path: Path, wanted: Sequence[str], limit: int | None) -> tuple[list[str], list[dict[str, Json]]]:
    """The columns of a Parquet file, and the first `limit` rows with those that are wanted."""
    try:
        return _cells(
            datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True), wanted, limit
        )
    except (ValueError, DatasetsError) as error:
        raise DataError(f"{path} cannot be read: {_one_line(error)}") from error


def read_hub(name: str, subset: str | None, split: str, label: str, wanted: Sequence[str], limit: int | None) -> Table:
    """A split of a Hugging Face data set, from the local cache where the network is away. Raises `DataError`."""
    reachable = _is_reachable(name)
    with _offline(not reachable):
        try:
            columns, cells = _cells(datasets.load_dataset(name, subset, split=split), wanted, limit)
        except ConnectionError as error:
            raise DataError(
                f"{name!r} is no file here, Hugging Face cannot be reached, and its cache holds no data set "
                "of that name. Check the path, or load the data set once with a network"
            ) from error
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
            raise DataError(
                f"data set {name!r}, subset {subset}, split {split}, cannot be loaded: {_one_line(error)}"
            ) from error
    if not cells:
        raise DataError(f"split {split!r} of {name!r} holds no rows")
    return make_table(label, f"{name} split {split}", columns, cells)


def _cells(dataset: Any, wanted: Sequence[str], limit: int | None) -> tuple[list[str], list[dict[str, Json]]]:
    columns: list[str] = dataset.column_names
    present = [name for name in dict.fromkeys(wanted) if name in columns]
    return columns, list(islice(dataset.select_columns(present), limit))


def _one_line(error: Exception) -> str:
    return shorten(str(error), width=300, placeholder=" ...")


def _is_reachable(name: str) -> bool:
    """One question with a short deadline: `datasets` itself would try again for minutes where packets get lost."""
    try:
        HfApi().dataset_info(name, timeout=PROBE_TIMEOUT_S)
    except HfHubHTTPError:
        return True  # It answered; loading says what is wrong.
    except (OfflineModeIsEnabled, _HTTP_ERROR):
        return False
    return True


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Have `datasets` go straight to its cache; it has no argument for that."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
