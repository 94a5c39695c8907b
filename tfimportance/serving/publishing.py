"""Versions of a model, `<name>/<integer>/`, that appear whole or not at all."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfimportance._checks import fail


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Yields a folder to be made, on the file system of `path`, gone after.

    Its parent has no integer for a name: a server that watches `path`
    ignores it.

    Raises:
        InputError: Nothing can be written there.
    """
    try:
        nearest = next(p for p in (path, *path.parents) if p.exists())
        parent = tempfile.TemporaryDirectory(prefix=".export-", dir=nearest)
    except OSError as error:
        raise fail(
            "`path` must be a folder that can be written.",
            f"path={str(path)!r} ({error.strerror})",
            "Choose another folder, or change its permissions.",
        ) from error
    with parent as private:  # mode 0700; the folder within has the usual one
        yield Path(private, "model")


def publish(folder: Path, path: Path) -> Path:
    """Renames `folder` to the next version in `path`, and returns that."""
    path.mkdir(parents=True, exist_ok=True)
    number = max((int(each.name) for each in versions(path)), default=0)
    while True:
        number += 1
        version = path / str(number)
        try:
            return folder.rename(version)
        except OSError:
            if not version.exists():
                raise
            # Another export took this version meanwhile: the next one.


def versions(path: Path) -> list[Path]:
    """Returns the folders of the versions in `path`, the highest last."""
    found = [
        child
        for child in path.iterdir()
        if re.fullmatch("[0-9]+", child.name) and child.is_dir()
    ]
    return sorted(found, key=lambda child: int(child.name))
