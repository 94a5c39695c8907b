"""Models for TensorFlow Serving: raw strings in, a probability out."""

import contextlib
import keyword
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfimportance._checks import fail
from tfimportance.encoding import Encoder, combine_fields

logger = logging.getLogger(__name__)

# Texts on which every model is tried once before it is written.
_TRIALS = ("", "a", "Très jolie robe, 38 €")


def export(
    model: keras.Model,
    encoder: Encoder,
    path: str | Path,
    *,
    text: Sequence[str] = ("text",),
    fields: str = "auto",
) -> Path:
    """Returns the new folder `path/<version>`, a model ready to be served.

    `path` is what TensorFlow Serving watches (`--model_base_path`); the version
    is one above the highest in it, or 1. The folder appears by rename when it
    is complete, so that a server never sees half a model, and a failed export
    leaves nothing behind.

    The SavedModel has the signature `serving_default`: one string tensor
    `(batch,)` for each column of `text`, in any batch size, to `probability`,
    float32 `(batch,)` in [0, 1]. An input has the name of its column, with `_`
    for every character but ASCII letters and digits ("Review Text" becomes
    `Review_Text`). Tokenizer, encoder and model lie in one graph; every weight
    is stored once, and no Python code is stored.

    Example:
        >>> import tempfile
        >>> from tfimportance import dense_head, load_encoder
        >>> encoder = load_encoder("static")
        >>> model = dense_head(encoder.dim)  # and fit it
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     version = export(model, encoder, folder, text=["review"])
        ...     served = tf.saved_model.load(version)
        >>> serve = served.signatures["serving_default"]
        >>> reviews = tf.constant(["Lovely!", "", "Ein Kleid"])
        >>> version.name, serve(review=reviews)["probability"].shape
        ('1', TensorShape([3]))

    Args:
        model: A built Keras model from the combined embedding
            `(batch, embedding_dim)` to a probability, `(batch, 1)` or
            `(batch,)`.
        encoder: What `load_encoder` returned for the training.
        path: The model's own folder, e.g. `saved_models/reviews`.
        text: The text columns, in the order of the training.
        fields: How the columns become one embedding, as in `encode`.

    Raises:
        InputError: A column's name is no name for an input, `model` does not
            map the embeddings of `encoder` to probabilities, the graph would
            call back into Python, or `path` cannot be written.
    """
    names = _input_names(text)
    serve = _trace(model, encoder, names, fields)
    _check_graph(serve)
    _check_answers(serve, names)
    served = tf.Module()
    # The variables that the graph uses and no Keras object: those would be
    # stored a second time (keras#23553).
    served.weights = list(serve.variables)
    served.tables = _tables(encoder)
    with _staging(Path(path).absolute()) as folder:
        tf.saved_model.save(
            served, str(folder), signatures={"serving_default": serve}
        )
        version = _publish(folder, Path(path))
    logger.info("Exported %s", version)
    return version


def _input_names(text: Sequence[str]) -> dict[str, str]:
    """Input name to column, in the order of `text`."""
    if isinstance(text, str) or not len(text):
        raise fail(
            "`text` must be a list with at least one column name.",
            f"text={text!r}",
        )
    names = [re.sub(r"\W", "_", column, flags=re.ASCII) for column in text]
    # TensorFlow makes parameters of them, which it tells apart in lower case.
    if len({name.lower() for name in names}) < len(names) or not all(
        map(_is_parameter, names)
    ):
        raise fail(
            "`text` must hold names that start with a letter from a to z, are "
            "no Python keyword, and differ in their letters and digits.",
            f"text={list(text)!r}",
            "Rename the column.",
        )
    return dict(zip(names, text, strict=True))


def _is_parameter(name: str) -> bool:
    return name[:1].isalpha() and name != "self" and not keyword.iskeyword(name)


def _trace(
    model: keras.Model, encoder: Encoder, names: dict[str, str], fields: str
) -> Any:
    """The concrete function from the named inputs to the probability."""

    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        texts = {column: inputs[name] for name, column in names.items()}
        embedding = combine_fields(encoder, texts, fields)
        return {"probability": _probability(model, embedding)}

    return tf.function(serve, autograph=False).get_concrete_function(
        {name: tf.TensorSpec([None], tf.string, name=name) for name in names}
    )


def _probability(model: keras.Model, embedding: tf.Tensor) -> tf.Tensor:
    """The model's output as float32 `(batch,)`."""
    if not getattr(model, "built", True):
        raise fail(
            "`model` must be built.",
            f"model={model.name!r}, without weights so far",
            "Fit it first.",
        )
    try:
        output = model(embedding, training=False)
    except ValueError as error:
        raise fail(
            f"`model` must take the embedding of shape {embedding.shape} that "
            "`encoder` and `fields` give.",
            f"model.input_shape={getattr(model, 'input_shape', 'unknown')}",
            "Export with the encoder and the columns of the training.",
        ) from error
    shape = str(getattr(output, "shape", type(output).__name__))
    if shape not in ("(None,)", "(None, 1)"):
        raise fail(
            "`model` must give one probability for each row, (batch,) or "
            "(batch, 1).",
            f"an output of shape {shape}",
        )
    return tf.cast(tf.reshape(output, [-1]), tf.float32)


def _check_graph(serve: Any) -> None:
    """Raises if the graph needs the Python process that made it."""
    graph = serve.graph.as_graph_def()
    functions = [function.node_def for function in graph.library.function]
    operations = {
        node.op for nodes in [graph.node, *functions] for node in nodes
    }
    if calls := operations & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}:
        raise fail(
            "`encoder` and `model` must consist of TensorFlow operations.",
            f"a graph that calls Python ({', '.join(sorted(calls))})",
            "A server has no Python: replace tf.py_function and "
            "tf.numpy_function.",
        )


def _check_answers(serve: Any, names: dict[str, str]) -> None:
    """Raises unless the trial texts get probabilities."""
    trial = dict.fromkeys(names, tf.constant(_TRIALS))
    answers = serve(trial)["probability"].numpy()
    if not ((answers >= 0) & (answers <= 1)).all():  # NaN is neither
        raise fail(
            "`model` must give probabilities in [0, 1].",
            f"{answers.tolist()} for the texts {list(_TRIALS)}",
            "End the model with a sigmoid, and look for a training that "
            "diverged where these are NaN.",
        )


def _tables(encoder: Encoder) -> list[Any]:
    """The lookup tables of a tokenizer, which a graph uses but cannot name."""
    root = tf.Module()
    root.encoder = encoder
    return [
        part
        for part in tf.train.TrackableView(root).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]


@contextlib.contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder to be made, on the file system of `path`, gone afterwards.

    Its parent has no integer for a name: a server that watches `path`
    ignores it.
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


def _publish(folder: Path, path: Path) -> Path:
    """Renames `folder` to the next version in `path`."""
    path.mkdir(parents=True, exist_ok=True)
    while True:
        version = path / str(max(_versions(path), default=0) + 1)
        try:
            return folder.rename(version)
        except OSError:
            if not version.exists():
                raise
            # Another export took this version meanwhile: the next one.


def _versions(path: Path) -> list[int]:
    names = [child.name for child in path.iterdir()]
    return [int(name) for name in names if re.fullmatch("[0-9]+", name)]
