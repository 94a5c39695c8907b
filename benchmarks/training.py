"""What each way to use the weights costs: epoch times against uniform.

    python benchmarks/training.py            # a quarter of an hour on 2 cores
    python benchmarks/training.py --only weight --rounds 20
    python benchmarks/training.py --quick    # two, to see that it works

The data are the bundled reviews under the static encoder, label: recommended.
Two models: the dense head on embeddings, whose step is so short that every
overhead shows, and a token model (embedding, two convolutions), whose step is
long. A round trains every way once, in an order of chance, and gives its
fastest epoch: what disturbs it only makes an epoch longer. The table has the
medians over rounds of the ratio to uniform in the same round, so that a busy
machine disturbs all ways alike. A top-k epoch has half of the steps.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import tfimportance as tfi

TARGETS = 300
BATCH = 256
WAYS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "Keras' own fit, uniform": {"plain": True},
    "Keras' own fit, sample_weight": {"plain": True, "allocation": "weight"},
    "weight": {"allocation": "weight"},
    "top_k (half)": {"allocation": "top_k"},
    "repeat": {"allocation": "repeat"},
    "learning_rate": {"allocation": "learning_rate"},
    "curriculum": {"allocation": "curriculum"},
    "curriculum + weight": {"allocation": ("curriculum", "weight")},
    "top_k + repeat": {"allocation": ("top_k", "repeat")},
    "refresh every epoch": {"refresh": True},
    "online": {"online": True},
}


class Clock(keras.callbacks.Callback):
    """Keeps the seconds of every epoch, the callbacks' time included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras."""
        self.last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def dense_model(features: Any) -> tuple[keras.Model, keras.Model]:
    """Returns the head and the part of it that embeds."""
    model = tfi.dense_head(features.shape[1])
    return model, keras.Model(model.input, model.layers[2].output)


def token_model(features: Any) -> tuple[keras.Model, keras.Model]:
    """Returns a text convolution over token ids, and its encoder."""
    inputs = keras.Input((features.shape[1],), dtype="int32")
    x = keras.layers.Embedding(int(features.max()) + 1, 64)(inputs)
    for _ in range(2):
        x = keras.layers.Conv1D(128, 5, activation="relu")(x)
    pooled = keras.layers.GlobalMaxPooling1D()(x)
    outputs = keras.layers.Dense(1, "sigmoid")(pooled)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "binary_crossentropy")
    return model, keras.Model(inputs, pooled)


def fastest_epoch(
    make: Callable[[Any], tuple[keras.Model, keras.Model]],
    way: dict[str, Any],
    data: tuple[Any, Any, Any],
    epochs: int,
) -> float:
    """Returns the seconds of the fastest epoch."""
    features, label, weight = data
    keras.utils.set_random_seed(0)
    model, encoder = make(features)
    clock = Clock()
    if "allocation" not in way:
        weight = None
    if way.get("plain"):
        model.fit(
            features,
            label,
            sample_weight=weight,
            batch_size=BATCH,
            epochs=epochs + 1,
            callbacks=[clock],
            verbose=0,
        )
        return min(clock.seconds)
    callbacks: list[keras.callbacks.Callback] = [clock]
    targets = features[:TARGETS], label[:TARGETS]
    if way.get("refresh"):
        callbacks.insert(0, tfi.RefreshImportance(encoder, *targets))
    if way.get("online"):
        model = tfi.OnlineImportance(model, encoder, *targets)
        model.compile("adam", "binary_crossentropy")
    tfi.fit(
        model,
        features,
        label,
        sample_weight=weight,
        allocation=way.get("allocation", "weight"),
        epochs=epochs + 1,
        batch_size=BATCH,
        seed=0,
        callbacks=callbacks,
    )
    return min(clock.seconds)


def table(
    make: Callable[[Any], tuple[keras.Model, keras.Model]],
    data: tuple[Any, Any, Any],
    rounds: int,
    epochs: int,
    names: Sequence[str],
) -> list[Sequence[str]]:
    """Returns a row for each way: seconds and ratio of an epoch."""
    seconds = np.empty((rounds, len(names)))
    ways = [WAYS[name] for name in names]
    for r in range(rounds):
        for i in np.random.default_rng(r).permutation(len(ways)):
            seconds[r, i] = fastest_epoch(make, ways[i], data, epochs)
    ratio = seconds / seconds[:, :1]
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75], axis=0)
    return [
        (
            name,
            f"{np.median(seconds[:, i]):.3f}",
            f"{middle[i]:.3f}",
            f"{low[i]:.3f} to {high[i]:.3f}",
        )
        for i, name in enumerate(names)
    ]


def reviews(rows: int | None) -> tuple[Any, Any, Any, Any]:
    """Returns embeddings, token ids, labels and weights of the reviews."""
    examples = tfi.load_examples(
        "dataset:womens_clothing_reviews", text="review", label="recommended"
    )
    if rows is not None:
        examples = examples.take(np.arange(rows))
    embeddings = tfi.encode(tfi.load_encoder("static"), examples)
    # The words' hashes are ids enough for a measurement of time.
    words = keras.layers.Hashing(20_000)
    split = [text.split()[:64] for text in examples.text["review"]]
    tokens = np.array([each + [""] * (64 - len(each)) for each in split])
    ids = np.asarray(words(tokens))
    label = examples.labels
    importance = tfi.importance_scores(
        embeddings,
        embeddings[:TARGETS],
        labels=label,
        target_labels=label[:TARGETS],
    )
    return embeddings, ids, label, tfi.to_sample_weight(importance)


def main() -> None:
    """Prints one Markdown table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=[*WAYS])
    arguments = parser.parse_args()
    quick = arguments.quick
    names = list(dict.fromkeys(["uniform", *arguments.only]))
    embeddings, ids, label, weight = reviews(2000 if quick else None)
    rounds = 2 if quick else arguments.rounds
    print(f"{len(label)} rows, {platform.processor() or platform.machine()}")
    for name, make, features, rows, epochs in (
        ("dense head", dense_model, embeddings, None, 2 if quick else 8),
        ("token convolution", token_model, ids, 4096, 1 if quick else 2),
    ):
        data = (features[:rows], label[:rows], weight[:rows])
        print(
            f"\n| {name}, {len(data[1])} rows | seconds | ratio | quartiles |"
        )
        print("|---|---|---|---|")
        for row in table(make, data, rounds, epochs, names):
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
