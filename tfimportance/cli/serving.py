"""From a trained model to a served one, and what a served one answers."""

import argparse

from tfimportance.cli.common import (
    Command,
    import_tensorflow,
    label_options,
    say,
)


def _export(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.stages import export_model

    said = {"licence": arguments.licence, "intended_use": arguments.use}
    version = export_model(
        arguments.model,
        arguments.output,
        target=arguments.target,
        columns={"label": arguments.label, "positive": arguments.positive},
        card={section: text for section, text in said.items() if text},
    )
    say(str(version))


def _predict(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.serving import predict_file

    label = arguments.label
    rows = predict_file(
        arguments.model,
        arguments.file,
        arguments.output,
        signature=arguments.signature,
        columns=None if label is None else {"label": label},
        positive=arguments.positive,
        id=arguments.id,
        batch_size=arguments.batch_size,
    )
    say(f"{arguments.output}: {rows} rows")


def _similar(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.serving import find_similar

    found = find_similar(
        arguments.model,
        arguments.query,
        arguments.catalogue,
        text=arguments.text,
        id=arguments.id,
        top=arguments.top,
        index=arguments.index,
        batch_size=arguments.batch_size,
    )
    for query, matches in zip(arguments.query, found, strict=True):
        say(f"{query}:")
        for rank, each in enumerate(matches, 1):
            say(f"{rank:>4}  {each.similarity:8.4f}  {each.id}  {each.text}")


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `fit` wrote")
    parser.add_argument(
        "output", help="folder of versions; the next one is made"
    )
    parser.add_argument(
        "--target",
        metavar="FILE",
        help="target rows to score importance against (default: the "
        "validation rows of `fit`)",
    )
    label_options(parser, label_required=False)
    parser.add_argument("--licence", help="for the model card")
    parser.add_argument(
        "--use", metavar="TEXT", help="intended use, for the model card"
    )


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `export` wrote")
    parser.add_argument("file", help="file of rows")
    parser.add_argument(
        "--output", required=True, help="file to write: .parquet or .csv"
    )
    parser.add_argument(
        "--signature",
        default="serving_default",
        help="what is asked: serving_default, embed, importance, ...",
    )
    label_options(parser, label_required=False)
    _batch_options(parser)


def _similar_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `export` wrote")
    parser.add_argument("query", nargs="+", help="a text to look for")
    parser.add_argument("--catalogue", required=True, metavar="FILE")
    parser.add_argument(
        "--text",
        required=True,
        nargs="+",
        metavar="COLUMN",
        help="the catalogue's text columns",
    )
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument(
        "--index",
        default="exact",
        help="exact, or faiss for a large catalogue (approximate)",
    )
    _batch_options(parser)


def _batch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", metavar="COLUMN", help="column of ids")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="rows asked at a time"
    )


COMMANDS = {
    "export": Command(
        _export,
        _export_options,
        "Export a trained model for TF Serving: strings in, probability, "
        "embedding, importance and similarity out.",
        "tfimportance export model saved_models/reviews",
    ),
    "predict": Command(
        _predict,
        _predict_options,
        "Write what an exported model answers to every row of a file.",
        "tfimportance predict saved_models/reviews test.parquet --output "
        "predictions.parquet",
    ),
    "similar": Command(
        _similar,
        _similar_options,
        "Print the rows of a catalogue that are most similar to a text.",
        'tfimportance similar saved_models/reviews "red dress" --catalogue '
        "products.parquet --text title --top 10",
    ),
}
