"""The chain stage by stage, from file to file."""

import argparse
import json

from tfimportance.cli.common import (
    Command,
    data_options,
    group_option,
    import_tensorflow,
    label_options,
    say,
    settings,
)


def _score(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.stages import score_files

    weight = score_files(**settings(arguments))
    say(
        f"{arguments.output}: {len(weight)} rows worth "
        f"{weight.effective_sample_size:.0f}; the heaviest has "
        f"{weight.largest_share:.2%} of all weight"
    )


def _fit(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.stages import fit_files

    result = fit_files(**settings(arguments))
    say(
        f"{arguments.output}: AUC {result.target_auc:.4f} on the validation "
        f"rows after epoch {result.best_epoch}"
    )


def _evaluate(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.stages import evaluate_file

    result = evaluate_file(
        arguments.model,
        arguments.file,
        label=arguments.label,
        positive=arguments.positive,
        group=arguments.group,
    )
    say(json.dumps(result.to_dict(), indent=2))


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pool", help="file of training rows")
    parser.add_argument("target", help="file of target rows")
    data_options(parser, label_required=False)
    group_option(parser)
    parser.add_argument(
        "--strategy",
        default="scores",
        help="scores: sinh similarities, with the next three options; auto: "
        "what labelled target rows speak for; or another strategy of compare",
    )
    parser.add_argument(
        "--mode",
        help="label_signed, similarity, or auto (default): signed where "
        "labels are",
    )
    parser.add_argument(
        "--scale", type=float, help="factor before sinh (default 4)"
    )
    parser.add_argument(
        "--effective-fraction",
        type=float,
        help="share of the rows that the weighted data is worth (default 0.85)",
    )
    parser.add_argument("--output", required=True, help="Parquet file to write")


def _fit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", help="file of training rows")
    parser.add_argument(
        "--validation",
        required=True,
        help="file of held-out target rows that stop the training",
    )
    data_options(parser, label_required=True)
    group_option(parser)
    parser.add_argument("--weights", help="file that `score` wrote")
    parser.add_argument(
        "--allocation",
        nargs="+",
        default=["weight"],
        metavar="WORD",
        help="how weights act: weight, top_k, repeat, learning_rate or "
        "curriculum; several act one after the other",
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, help="folder to write")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `fit` wrote")
    parser.add_argument("file", help="file of labelled rows")
    label_options(parser, label_required=True)
    group_option(parser)


COMMANDS = {
    "score": Command(
        _score,
        _score_options,
        "Write the importance and sample weight of every training row.",
        "tfimportance score train.parquet target.parquet --text review "
        "--label recommended --output weights.parquet",
    ),
    "fit": Command(
        _fit,
        _fit_options,
        "Train a model on a file, with weights or uniformly.",
        "tfimportance fit train.parquet --validation target.parquet --text "
        "review --label recommended --weights weights.parquet --output model",
    ),
    "evaluate": Command(
        _evaluate,
        _evaluate_options,
        "Print a trained model's AUC and other figures on a file, as JSON.",
        "tfimportance evaluate model test.parquet --label recommended",
    ),
}
