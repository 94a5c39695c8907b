"""Embeddings on disk, so that no text is ever encoded twice.

The layout of a cache folder:

    FOLDER/
      <encoder>/                 32 hex digits: BLAKE2b of the fingerprint
        <content>.safetensors    32 hex digits: BLAKE2b of the keys
        .<content>-<pid>...      being written; a killed run may leave one

A shard holds two tensors, `keys` uint8 `(n, 16)`, which are BLAKE2b hashes of
the texts' UTF-8 bytes, and `values` float32 `(n, dim)`; its metadata are the
format, the encoder's fingerprint and the CRC-32 of both tensors. A shard is
never changed. It appears whole or not at all (written beside, then renamed),
so that processes may write to one folder at the same time: at worst they
encode the same text twice. A shard that is cut short or whose checksum is
wrong is deleted with a warning, and its texts are encoded again. Nobody else
needs to be told about a deletion: deleting any file here is always safe.

Looking up keeps the hashes of all shards in memory (24 bytes a text, sorted
once) and reads one shard at a time.
"""

import os
import time
import warnings
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tfimportance._checks import Array, fail
from tfimportance._files import check_writable, staged_file

_FORMAT = "1"
_ENDING = ".safetensors"

# A shard is written when it has so many bytes or is so old: a killed run
# loses ten seconds of work, and millions of texts are some hundred files.
_SHARD_BYTES = 1 << 25
_SHARD_SECONDS = 10.0
_STALE_SECONDS = 3600.0


def text_keys(texts: Array) -> Array:
    """Returns the 16-byte hash of each text, `(len(texts),)` of dtype S16."""
    digests = [blake2b(t.encode(), digest_size=16).digest() for t in texts]
    return np.frombuffer(b"".join(digests), "S16")


def open_cache(folder: str | os.PathLike[str], encoder: Any) -> "Cache":
    """Returns the part of the cache that belongs to `encoder`.

    Raises:
        InputError: The encoder has no fingerprint, or the folder cannot be
            written to.
    """
    fingerprint = getattr(encoder, "fingerprint", None)
    if not isinstance(fingerprint, str) or not fingerprint:
        raise fail(
            "`cache` needs an encoder with a `fingerprint`, or old values "
            "could pass for new ones.",
            f"fingerprint={fingerprint!r} of "
            f"{getattr(encoder, 'name', type(encoder).__name__)!r}",
            "Set encoder.fingerprint to a text that you change whenever its "
            "embeddings change.",
        )
    check_writable("cache", Path(folder))
    return Cache(Path(folder), fingerprint)


class Cache:
    """The shards of one encoder; see the module for how they are stored.

    As a context it writes the last shard at the end, after an error as well.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        name = blake2b(fingerprint.encode(), digest_size=16).hexdigest()
        self._folder = folder / name
        self._fingerprint = fingerprint
        self._keys: list[Array] = []
        self._values: list[Array] = []
        self._written = time.monotonic()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def find(self, keys: Array) -> Iterator[tuple[Array, Array]]:
        """Yields positions in `keys` and their embeddings, shard by shard.

        Args:
            keys: From `text_keys`.

        Yields:
            Int64 `(found,)` and float32 `(found, dim)`.
        """
        _remove_stale(self._folder)
        paths, shards = self._index()
        if not paths:
            return
        entries = np.concatenate(shards)
        shard_starts = np.cumsum([0, *map(len, shards)])
        order = np.argsort(entries, kind="stable")
        places = np.searchsorted(entries, keys, sorter=order)
        entry = order[np.minimum(places, len(entries) - 1)]
        asked = np.flatnonzero(entries[entry] == keys)
        # One shard after the other: the positions sorted by entry.
        asked = asked[np.argsort(entry[asked], kind="stable")]
        cuts = np.searchsorted(entry[asked], shard_starts)
        for i, path in enumerate(paths):
            positions = asked[cuts[i] : cuts[i + 1]]
            if len(positions) and (values := self._read(path)) is not None:
                yield positions, values[entry[positions] - shard_starts[i]]

    def _index(self) -> tuple[list[Path], list[Array]]:
        """Returns the shards and the keys of each."""
        paths, keys = [], []
        for path in sorted(self._folder.glob(f"[!.]*{_ENDING}")):
            try:
                with safe_open(path, "numpy") as shard:
                    each = _as_keys(shard.get_tensor("keys"))
            except FileNotFoundError:  # another process found it damaged
                continue
            except (SafetensorError, ValueError) as error:
                _discard(path, str(error))
                continue
            paths.append(path)
            keys.append(each)
        return paths, keys

    def _read(self, path: Path) -> Array | None:
        """Returns the values of a shard, or None when it is damaged."""
        try:
            with safe_open(path, "numpy") as shard:
                metadata = shard.metadata() or {}
                keys, values = (shard.get_tensor(n) for n in ("keys", "values"))
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            _discard(path, str(error))
            return None
        if metadata != self._metadata(keys, values):
            _discard(path, "its checksum is wrong")
            return None
        return values

    def _metadata(self, keys: Array, values: Array) -> dict[str, str]:
        checksum = zlib.crc32(values.data, zlib.crc32(keys.data))
        return {
            "format": _FORMAT,
            "encoder": self._fingerprint,
            "crc32": f"{checksum:08x}",
        }

    def add(self, keys: Array, values: Array) -> None:
        """Keeps a batch, and writes a shard when there is enough for one.

        Args:
            keys: `(batch,)` from `text_keys`.
            values: Float32 `(batch, dim)`.
        """
        self._keys.append(keys)
        self._values.append(values)
        size = sum(each.nbytes for each in self._values)
        age = time.monotonic() - self._written
        if size >= _SHARD_BYTES or age >= _SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was added since the last shard."""
        if self._keys:
            keys = np.concatenate(self._keys).view(np.uint8).reshape(-1, 16)
            values = np.ascontiguousarray(np.concatenate(self._values))
            name = blake2b(keys.data, digest_size=16).hexdigest() + _ENDING
            with staged_file(self._folder / name) as path:
                path.write_bytes(
                    save(
                        {"keys": keys, "values": values},
                        self._metadata(keys, values),
                    )
                )
        self._keys, self._values = [], []
        self._written = time.monotonic()


def _as_keys(keys: Array) -> Array:
    if keys.ndim != 2 or keys.shape[1] != 16 or keys.dtype != np.uint8:
        raise ValueError(f"keys of shape {keys.shape} and type {keys.dtype}")
    return np.ascontiguousarray(keys).view("S16")[:, 0]


def _discard(path: Path, why: str) -> None:
    warnings.warn(
        f"{str(path)!r} in the cache is damaged ({why}); it is deleted and its "
        "texts are encoded again.",
        stacklevel=2,
    )
    path.unlink(missing_ok=True)


def _remove_stale(folder: Path) -> None:
    """Removes what killed runs left half-written."""
    for path in folder.glob(f".*{_ENDING}"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:  # finished or removed in the meantime
            continue
