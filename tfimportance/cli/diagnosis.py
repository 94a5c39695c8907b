"""What a person should look at: reasons, suspected labels, gaps."""

import argparse

from tfimportance.cli.common import (
    Command,
    data_options,
    group_option,
    import_tensorflow,
    say,
    settings,
)


def _explain(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.review import explain_files

    say(str(explain_files(**settings(arguments))))


def _review(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.review import review_files

    say(str(review_files(**settings(arguments))))


def _files(parser: argparse.ArgumentParser, *, label_required: bool) -> None:
    parser.add_argument("pool", help="file of training rows")
    parser.add_argument("target", help="file of target rows")
    data_options(parser, label_required=label_required)
    parser.add_argument(
        "--scale", type=float, default=4.0, help="factor before sinh"
    )


def _explain_options(parser: argparse.ArgumentParser) -> None:
    _files(parser, label_required=False)
    parser.add_argument(
        "--row",
        dest="rows",
        required=True,
        nargs="+",
        metavar="ROW",
        help="ids of training rows, or their numbers without --id",
    )
    parser.add_argument(
        "--top", type=int, default=5, help="targets to show on either side"
    )


def _review_options(parser: argparse.ArgumentParser) -> None:
    _files(parser, label_required=True)
    group_option(parser)
    parser.add_argument(
        "--top",
        type=int,
        default=20,
        help="suspected labels to show and to write (default 20)",
    )
    parser.add_argument(
        "--wrong",
        metavar="COLUMN",
        help="column of 0/1: labels known to be wrong, to see how many are "
        "found",
    )
    parser.add_argument(
        "--output", help="CSV file for the suspected labels, --top of them"
    )


COMMANDS = {
    "explain": Command(
        _explain,
        _explain_options,
        "Say which targets make a training row important or not.",
        "tfimportance explain train.parquet target.parquet --text review "
        "--label recommended --id id --row 4711",
    ),
    "review": Command(
        _review,
        _review_options,
        "List the labels to review, and the targets without similar rows.",
        "tfimportance review train.parquet target.parquet --text review "
        "--label recommended --output suspects.csv",
    ),
}
