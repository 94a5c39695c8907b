"""Encoders: what texts become, made once and named in later commands."""

import argparse
from pathlib import Path

from tfimportance.cli.common import (
    Command,
    fields_option,
    import_tensorflow,
    say,
    text_options,
)


def _encode(arguments: argparse.Namespace) -> None:
    from tfimportance._files import check_output

    check_output("output", Path(arguments.output), [".parquet"])
    import_tensorflow()
    import numpy as np

    from tfimportance.data import Examples, load_examples
    from tfimportance.encoding import encode_distinct, load_encoder

    parts = [
        load_examples(file, text=arguments.text).text
        for file in arguments.files
    ]
    examples = Examples(
        {
            name: np.concatenate([part[name] for part in parts])
            for name in parts[0]
        }
    )
    shape = encode_distinct(
        load_encoder(arguments.encoder),
        examples,
        arguments.output,
        fields=arguments.fields,
        cache=arguments.cache,
    )
    say(f"{arguments.output}: {shape[0]} different texts, {shape[1]} numbers")


def _encode_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="file",
        help="files of rows: all that the embeddings are used with",
    )
    text_options(parser)
    fields_option(parser)
    parser.add_argument(
        "--cache", help="folder that keeps embeddings between runs"
    )
    parser.add_argument("--output", required=True, help="Parquet file to write")


def _whiten(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.data import load_examples
    from tfimportance.encoding import fit_whitening, load_encoder

    examples = load_examples(arguments.file, text=arguments.text)
    encoder = fit_whitening(
        load_encoder(arguments.encoder), examples, dim=arguments.dim
    )
    say(f"{encoder.save(arguments.output)}: {encoder.dim} dimensions")


def _whiten_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="file of training rows")
    text_options(parser)
    parser.add_argument(
        "--dim", type=int, help="components to keep (default: all)"
    )
    parser.add_argument("--output", required=True, help="folder to write")


def _distill(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.encoding import distill

    say(str(distill(arguments.checkpoint, arguments.output, dim=arguments.dim)))


def _distill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", help="KerasHub or Hugging Face folder, or its handle"
    )
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--dim", type=int, default=256)


COMMANDS = {
    "encode": Command(
        _encode,
        _encode_options,
        "Write the embedding of each different text; --encoder takes the file.",
        "tfimportance encode train.parquet target.parquet --text query title "
        "--encoder all-MiniLM-L6-v2 --output embeddings.parquet",
    ),
    "whiten": Command(
        _whiten,
        _whiten_options,
        "Centre and whiten an encoder by the training rows.",
        "tfimportance whiten train.parquet --text query title --encoder "
        "all-MiniLM-L6-v2 --output white_encoder",
    ),
    "distill": Command(
        _distill,
        _distill_options,
        "Build a small static encoder from a BERT checkpoint.",
        "tfimportance distill all-MiniLM-L6-v2 my_encoder --dim 128",
    ),
}
