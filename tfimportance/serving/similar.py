"""The rows of a catalogue that are most similar to a text."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfimportance._checks import Array, check_choice, check_count, fail
from tfimportance.data import columns as convert
from tfimportance.data.blocks import read_blocks
from tfimportance.serving.loading import ServedModel, load_served
from tfimportance.serving.search import SEARCHES

# Rows read at a time.
_BLOCK = 8192


@dataclass(frozen=True)
class Match:
    """A row of a catalogue.

    Attributes:
        id: Its id, or its number in the file.
        text: What was compared.
        similarity: `sinh(clip(scale * cosine))`, as the model serves it; the
            dot product in place of the cosine where its target set says
            `normalize=False`.
    """

    id: Any
    text: str
    similarity: float


@dataclass(frozen=True)
class Catalogue:
    """A file of items, read anew as often as needed.

    Attributes:
        file: What `load_examples` reads, tf.data apart.
        text: The columns that are compared, joined with one space.
        id: Column of ids; None takes the number of the row.
    """

    file: str | os.PathLike[str]
    text: Sequence[str]
    id: str | None = None

    def blocks(self) -> Iterator[tuple[Array, Array]]:
        """Yields ids and texts, `(rows,)` each."""
        wanted = dict.fromkeys(self.text, "text")
        if self.id is not None:
            wanted.setdefault(self.id, "id")
        start = 0
        for frame in read_blocks(self.file, wanted, _BLOCK):
            ids = np.arange(start, start + len(frame))
            if self.id is not None:
                ids = convert.to_keys("id", frame[self.id])
            yield ids, self._texts(frame)
            start += len(frame)

    def rows(self, numbers: Array) -> dict[int, tuple[Any, str]]:
        """Returns id and text of the rows with these numbers."""
        found, start = {}, 0
        for ids, texts in self.blocks():
            inside = (numbers >= start) & (numbers < start + len(texts))
            for number in numbers[inside].tolist():
                found[number] = ids[number - start], texts[number - start]
            start += len(texts)
        return found

    def _texts(self, frame: pd.DataFrame) -> Array:
        columns = [convert.to_text(name, frame[name]) for name in self.text]
        rows = zip(*columns, strict=True)
        return np.array([" ".join(row) for row in rows], object)


def find_similar(
    model: str | Path,
    texts: Sequence[str],
    catalogue: str | os.PathLike[str],
    *,
    text: str | Sequence[str],
    id: str | None = None,
    top: int = 10,
    index: str = "exact",
    batch_size: int = 64,
) -> list[list[Match]]:
    """Returns the catalogue rows most similar to each text, the best first.

    Args:
        model: A folder that `export` wrote, of a model that takes texts.
        texts: What is looked for.
        catalogue: A file of items that `load_examples` reads.
        text: Its column, or columns to be joined with one space.
        id: Its column of ids; None takes the number of the row.
        top: Rows for each text.
        index: `"exact"` compares with every row and holds none of them;
            `"faiss"` holds the embeddings in memory and, in a large
            catalogue, looks only where they are dense around the text, so
            that a row can be missed. It needs `pip install
            tfimportance[similar]`.
        batch_size: Rows embedded at a time.

    Raises:
        FileNotFoundError: The model or the catalogue does not exist.
        InputError: The model takes no texts, a column is missing, there is
            no row or no text to look for, or FAISS is asked for and not
            installed.
    """
    if isinstance(texts, str) or not len(texts):
        raise fail(
            "`texts` must be a list with at least one text.", f"texts={texts!r}"
        )
    check_count("top", top)
    check_count("batch_size", batch_size)
    check_choice("index", index, SEARCHES)
    served = load_served(model)
    if "embed_text" not in served.signatures:
        raise fail(
            "`model` must have the signature 'embed_text'.",
            f"model={str(model)!r} with {', '.join(served.signatures)}",
            "Export a model of texts.",
        )

    def embed(some: Array) -> Array:
        answers = served.ask_many({"text": some}, "embed_text", batch_size)
        vectors = answers["embedding"]
        return _unit(vectors) if served.normalizes else vectors

    columns = [text] if isinstance(text, str) else list(text)
    items = Catalogue(catalogue, columns, id)
    blocks = (embed(each) for _, each in items.blocks())
    queries = np.array(list(texts), object)
    found = SEARCHES[index](blocks, embed(queries), top)
    if (found < 0).all():
        raise fail("`catalogue` must have at least one row.", f"{catalogue!r}")
    known = items.rows(np.unique(found[found >= 0]))
    return [
        _matches(served, query, [known[n] for n in numbers[numbers >= 0]])
        for query, numbers in zip(queries, found, strict=True)
    ]


def _unit(vectors: Array) -> Array:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def _matches(
    served: ServedModel, query: str, rows: list[tuple[Any, str]]
) -> list[Match]:
    answers = served.ask(
        "similarity", text=[query], other=[text for _, text in rows]
    )
    return [
        Match(id, text, float(similarity))
        for (id, text), similarity in zip(
            rows, answers["similarity"], strict=True
        )
    ]
