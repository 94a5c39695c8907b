"""What the commands share: options, and how they speak."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

_COLUMNS = ("text", "label", "positive", "id", "group")


class Command(NamedTuple):
    """What a command does, takes, and says of itself."""

    call: Callable[[argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None]
    purpose: str
    example: str


def say(text: str) -> None:
    """Prints a line of the result."""
    sys.stdout.write(text + "\n")


def import_tensorflow() -> None:
    """Imports TensorFlow without the device notes it writes to stderr.

    They come from C++ before any log level applies; on a machine without a
    GPU they read like errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow

        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def columns(arguments: argparse.Namespace) -> dict[str, object]:
    """Returns what `load_examples` takes of the options."""
    return {name: getattr(arguments, name, None) for name in _COLUMNS}


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the given options as a stage takes them, by the same names."""
    other = {*_COLUMNS, "command"}
    given = {
        name: value
        for name, value in vars(arguments).items()
        if value is not None and name not in other
    }
    return {**given, "columns": columns(arguments)}


def data_options(
    parser: argparse.ArgumentParser,
    *,
    label_required: bool,
    text_required: bool = True,
) -> None:
    """Adds the options that say how a file becomes embeddings."""
    text_options(parser, required=text_required)
    label_options(parser, label_required=label_required)
    parser.add_argument("--id", metavar="COLUMN", help="column of unique ids")
    fields_option(parser)


def text_options(
    parser: argparse.ArgumentParser, *, required: bool = True
) -> None:
    """Adds the options that say what is encoded, and by what."""
    parser.add_argument(
        "--text",
        required=required,
        nargs="+",
        metavar="COLUMN",
        help="the text columns",
    )
    parser.add_argument(
        "--encoder",
        default="static",
        help="static, or a checkpoint's folder or handle",
    )


def fields_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that says how text columns become one embedding."""
    parser.add_argument(
        "--fields",
        default="auto",
        help="how text columns become one embedding: auto, join, interaction, "
        "concat or mean",
    )


def label_options(
    parser: argparse.ArgumentParser, *, label_required: bool
) -> None:
    """Adds the options that say what the labels are."""
    parser.add_argument(
        "--label",
        required=label_required,
        metavar="COLUMN",
        help="the label column",
    )
    parser.add_argument(
        "--positive",
        nargs="+",
        type=_value,
        metavar="VALUE",
        help="label values that count as 1, where labels are not 0/1",
    )


def group_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that says which rows belong together."""
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        help="column, such as the query, whose rows belong together",
    )


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
