"""Fine-tunes a whole BERT encoder on the reviews, uniformly and weighted.

    python -m tfimportance.examples.finetune CHECKPOINT
    python -m tfimportance.examples.finetune CHECKPOINT --allocation repeat
    python -m tfimportance.examples.finetune CHECKPOINT --rows 200 --epochs 1

CHECKPOINT is a folder of any BERT, in KerasHub or Hugging Face form, such as
all-MiniLM-L6-v2. The traffic that counts is one department of a clothing shop;
the training rows are reviews of the others. The importances come from the
encoder as it is before training, and with `--refresh` again from the encoder
as it is at the beginning of every epoch. All of the encoder is trained, with
AdamW, from the same seed both times.

The defaults train 4,000 reviews for 3 epochs, twice: about a quarter of an
hour on 2 cores.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import keras_hub
import numpy as np

from tfimportance.data import Examples, load_examples
from tfimportance.evaluation import Evaluation, evaluate
from tfimportance.importance import importance_scores
from tfimportance.training import RefreshImportance, fit
from tfimportance.weighting import to_sample_weight

DEPARTMENT = "Intimate"


class Rows(NamedTuple):
    """What the model takes, and what it should say."""

    features: dict[str, Any]
    labels: Any


class Task(NamedTuple):
    """The rows of each role; no row has two."""

    train: Rows
    target: Rows
    validation: Rows
    test: Rows


def main(argv: Sequence[str] | None = None) -> dict[str, Evaluation]:
    """Trains both ways, prints a line for each and returns what it found."""
    arguments = _parser().parse_args(argv)
    task = load_task(arguments.checkpoint, arguments.rows, arguments.length)
    found = {}
    for name in ("uniform", "weighted"):
        keras.utils.set_random_seed(arguments.seed)
        model, encoder = build(arguments.checkpoint, arguments.learning_rate)
        weighted: dict[str, Any] = {}
        if name == "weighted":
            weighted = resources(encoder, task, arguments)
        result = fit(
            model,
            *task.train,
            validation=task.validation,
            epochs=arguments.epochs,
            batch_size=32,
            seed=arguments.seed,
            **weighted,
        )
        found[name] = evaluate(model, *task.test)
        lower, upper = found[name].roc_auc_interval
        sys.stdout.write(
            f"{name:8}  AUC on {len(task.test.labels)} unseen target rows "
            f"{found[name].roc_auc:.4f} ({lower:.4f} to {upper:.4f}), epoch "
            f"{result.best_epoch}\n"
        )
    return found


def load_task(checkpoint: str, rows: int, length: int) -> Task:
    """Returns token ids and labels of the reviews.

    Args:
        checkpoint: The folder whose tokenizer is used.
        rows: Training rows.
        length: Tokens a review; longer ones are cut.
    """
    reviews = load_examples(
        "dataset:womens_clothing_reviews",
        text="review",
        label="recommended",
        group="department",
    )
    reviews = reviews.take(reviews.text["review"] != "")
    order = np.random.default_rng(0).permutation(len(reviews))
    is_target = np.asarray(reviews.group)[order] == DEPARTMENT
    pool, traffic = order[~is_target], order[is_target]
    tokenize = keras_hub.models.TextClassifierPreprocessor.from_preset(
        checkpoint, sequence_length=length
    )
    parts = (pool[:rows], traffic[:200], traffic[200:500], traffic[500:])
    return Task(*(_rows(reviews.take(part), tokenize) for part in parts))


def _rows(examples: Examples, tokenize: Any) -> Rows:
    features = tokenize(examples.text["review"].tolist())
    return Rows(features, examples.labels)


def build(
    checkpoint: str, learning_rate: float
) -> tuple[keras.Model, keras.Model]:
    """Returns the classifier, all of it trainable, and its encoder part."""
    backbone = keras_hub.models.Backbone.from_preset(checkpoint)
    states = backbone.output["sequence_output"]
    mask = backbone.input["padding_mask"]
    pooled = keras.layers.GlobalAveragePooling1D()(states, mask=mask)
    x = keras.layers.Dropout(0.1)(pooled)
    outputs = keras.layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    model = keras.Model(backbone.input, outputs)
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=0.01)
    model.compile(optimizer, "binary_crossentropy")
    return model, keras.Model(backbone.input, pooled)


def resources(
    encoder: keras.Model, task: Task, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Returns what `fit` is to be told of importance."""
    train, target = (
        np.asarray(encoder.predict(part.features, batch_size=64, verbose=0))
        for part in (task.train, task.target)
    )
    importance = importance_scores(
        train,
        target,
        labels=task.train.labels,
        target_labels=task.target.labels,
    )
    given: dict[str, Any] = {
        "sample_weight": to_sample_weight(importance, labels=task.train.labels),
        "allocation": arguments.allocation,
    }
    if arguments.refresh:
        given["callbacks"] = [
            RefreshImportance(
                encoder, *task.target, per_label=True, batch_size=64
            )
        ]
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfimportance.examples.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="folder of a BERT checkpoint")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--length", type=int, default=64, help="in tokens")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--allocation",
        default="weight",
        help="weight, top_k, repeat, learning_rate or curriculum",
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="weigh anew at each epoch, with the encoder as it is then",
    )
    return parser


if __name__ == "__main__":
    main()
