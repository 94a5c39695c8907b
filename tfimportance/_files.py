"""Files and folders that appear whole or not at all."""

import json
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfimportance._checks import fail


@contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """Yields a path beside `path` whose file takes its place at the end.

    When the body raises, nothing is left behind and an older file stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending is kept, for writers that choose the format by it.
    writer = f"{os.getpid()}-{threading.get_ident()}"
    stage = path.with_name(f".{path.stem}-{writer}{path.suffix}")
    try:
        yield stage
        os.replace(stage, path)
    finally:
        stage.unlink(missing_ok=True)


@contextmanager
def staged_folder(folder: Path, marker: str) -> Iterator[Path]:
    """Yields a folder beside `folder` that takes its place at the end.

    When the body raises, nothing is left behind and an older folder stays.
    Only an empty folder, or one that holds a file `marker` from an earlier
    call, is ever replaced.

    Raises:
        InputError: `folder` holds something else.
    """
    if folder.exists() and not _replaceable(folder, marker):
        raise fail(
            f"The output folder must be new, empty or of an earlier run (with "
            f"{marker} in it).",
            f"{str(folder)!r}, which holds other files",
            "Name another folder.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(
        tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-")
    )
    new, old = scratch / "new", scratch / "old"
    new.mkdir()
    try:
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)  # the new one could not take its place
        shutil.rmtree(scratch)


def _replaceable(folder: Path, marker: str) -> bool:
    return folder.is_dir() and (
        (folder / marker).exists() or not any(folder.iterdir())
    )


def check_output(name: str, path: Path, endings: Iterable[str]) -> None:
    """Raises unless a file of one of the endings can be made at `path`.

    Called before long work, so that its result is not lost at the end.
    """
    known = list(endings)
    if path.suffix not in known:
        raise fail(
            f"`{name}` must end in {' or '.join(known)}, the format that is "
            "written.",
            f"{name}={str(path)!r}",
        )
    if path.is_dir():
        raise fail(
            f"`{name}` must be a file.",
            f"{name}={str(path)!r}, which is a folder",
        )
    check_writable(name, path.parent)


def check_writable(name: str, folder: Path) -> None:
    """Raises unless files can be made in `folder`, which need not exist yet.

    Called before long work, so that its result is not lost at the end.
    """
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise fail(
            f"`{name}` must be a folder that can be written to.",
            f"{name}={str(folder)!r}",
            f"{str(existing)!r} is "
            + ("not writable." if existing.is_dir() else "a file."),
        )


def write_json(path: Path, value: Any) -> None:
    """Writes what every reader of JSON takes: see `_plain`."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, NaN and infinity as null, else as text."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, str, type(None))) else str(value)
