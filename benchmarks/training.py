"""What each way to use the weights costs: epoch times against uniform.

    python benchmarks/training.py            # ten minutes on 2 cores
    python benchmarks/training.py --only weight --rounds 100
    python benchmarks/training.py --quick    # two rounds, to see that it works

The data are the bundled reviews under the static encoder, label: recommended.
Two models: the dense head on embeddings, whose step is so short that every
overhead shows, and a token model (embedding, two convolutions), whose step is
long. All ways train at once, but only one at a time: a round is one epoch of
each, in an order of chance. The table has the medians over rounds, but for the
first one, which compiles, of the ratio to uniform in the same round, with 95%
bootstrap intervals: a busy machine disturbs all ways alike. A top-k epoch has
half of the steps.
"""

import argparse
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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


class Turns:
    """Whose epoch it is, among threads; and the seconds that each took."""

    def __init__(self, ways: int, rounds: int) -> None:
        draw = np.random.default_rng(0)
        self._order = [i for _ in range(rounds) for i in draw.permutation(ways)]
        self._changed = threading.Condition()
        self.seconds: list[list[float]] = [[] for _ in range(ways)]

    def take(self, way: int) -> None:
        """Waits until it is this one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._order[0] == way)
        self._start = time.perf_counter()

    def give(self) -> None:
        """Ends the turn of whoever has it."""
        took = time.perf_counter() - self._start
        with self._changed:
            self.seconds[self._order.pop(0)].append(took)
            self._changed.notify_all()


class Turn(keras.callbacks.Callback):
    """Lets an epoch wait for its turn; all other callbacks count."""

    def __init__(self, turns: Turns, way: int) -> None:
        super().__init__()
        self._turns, self._way = turns, way

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self._turns.take(self._way)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self._turns.give()


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


def train(
    make: Callable[[Any], tuple[keras.Model, keras.Model]],
    way: dict[str, Any],
    data: tuple[Any, Any, Any],
    rounds: int,
    turn: Turn,
) -> None:
    """Trains one way for as many epochs as there are rounds."""
    features, label, weight = data
    model, encoder = make(features)
    if way.get("plain"):
        model.fit(
            features,
            label,
            batch_size=BATCH,
            epochs=rounds,
            callbacks=[turn],
            verbose=0,
        )
        return
    callbacks: list[keras.callbacks.Callback] = [turn]
    targets = features[:TARGETS], label[:TARGETS]
    if way.get("refresh"):
        callbacks.append(tfi.RefreshImportance(encoder, *targets))
    if way.get("online"):
        model = tfi.OnlineImportance(model, encoder, *targets)
        model.compile("adam", "binary_crossentropy")
    tfi.fit(
        model,
        features,
        label,
        sample_weight=weight if "allocation" in way else None,
        allocation=way.get("allocation", "weight"),
        epochs=rounds,
        batch_size=BATCH,
        callbacks=callbacks,
    )


def table(
    make: Callable[[Any], tuple[keras.Model, keras.Model]],
    data: tuple[Any, Any, Any],
    rounds: int,
    names: Sequence[str],
) -> list[Sequence[str]]:
    """Returns a row for each way: seconds and ratio of an epoch."""
    turns = Turns(len(names), rounds)
    with ThreadPoolExecutor(len(names)) as threads:
        started = [
            threads.submit(
                train, make, WAYS[name], data, rounds, Turn(turns, i)
            )
            for i, name in enumerate(names)
        ]
    for each in started:
        each.result()
    seconds = np.transpose(turns.seconds)[1:]
    ratio = seconds / seconds[:, :1]
    drawn = np.random.default_rng(0).integers(
        len(ratio), size=(999, len(ratio))
    )
    low, high = np.quantile(
        np.median(ratio[drawn], axis=1), [0.025, 0.975], axis=0
    )
    return [
        (
            name,
            f"{np.median(seconds[:, i]):.3f}",
            f"{np.median(ratio[:, i]):.3f}",
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
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=[*WAYS])
    arguments = parser.parse_args()
    quick = arguments.quick
    names = list(dict.fromkeys(["uniform", *arguments.only]))
    embeddings, ids, label, weight = reviews(2000 if quick else None)
    rounds = 1 + (2 if quick else arguments.rounds)  # the first one compiles
    print(f"{len(label)} rows, {platform.processor() or platform.machine()}")
    for name, make, features, rows in (
        ("dense head", dense_model, embeddings, None),
        ("token convolution", token_model, ids, 4096),
    ):
        data = (features[:rows], label[:rows], weight[:rows])
        title = f"{name}, {len(data[1])} rows"
        print(f"\n| {title} | seconds | ratio | 95% interval |")
        print("|---|---|---|---|")
        for row in table(make, data, rounds, names):
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
