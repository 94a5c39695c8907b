"""What a `sample_weight` alone adds to an epoch, as exactly as can be told.

    python benchmarks/sample_weight.py            # eight minutes on 2 cores
    python benchmarks/sample_weight.py --quick    # to see that it works

Two models of the same kind train beside each other on the batches of `fit`,
one with weights and one without: an epoch of each, in an order of chance, again
and again. A busy moment then hits both alike. The table has the median ratio of
such a pair of epochs, and a 95% interval of the median by bootstrap. "On one
batch" is Keras' step alone, on a batch that is there already: what no way of
feeding it can take away. The models are those of `training.py`.
"""

import argparse
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from training import BATCH, dense_model, reviews, token_model

from tfimportance.training.batches import RowBatches


class Epochs:
    """A model that trains an epoch when it is told to."""

    def __init__(self, model: keras.Model, data: tuple[Any, ...]) -> None:
        self.batches = RowBatches(*data, batch_size=BATCH, seed=0)
        self.dataset = self.batches.dataset()
        self.model, self.number = model, 0
        self.model.make_train_function()
        self.run()  # which traces it

    def run(self) -> None:
        """Trains the next epoch, as `fit` does."""
        self.batches.begin(self.number)
        self.number += 1
        batches = iter(self.dataset)
        for _ in range(int(self.dataset.cardinality())):
            self.model.train_function(batches)


class Steps:
    """The same on the first batch alone, over and over."""

    def __init__(self, model: keras.Model, data: tuple[Any, ...]) -> None:
        epochs = Epochs(model, data)
        batch = next(iter(epochs.dataset))
        self.count = int(epochs.dataset.cardinality())
        self.model = model
        # Of unknown length, as batches are whose last one is shorter.
        repeated = tf.data.Dataset.from_tensors(batch).unbatch().batch(BATCH)
        self.same = iter(repeated.cache().repeat())
        self.run()

    def run(self) -> None:
        """Trains as many steps as an epoch has."""
        for _ in range(self.count):
            self.model.train_function(self.same)


def ratios(both: list[Any], pairs: int) -> tuple[Any, float]:
    """Returns the ratios of weighted to uniform, and the uniform seconds."""
    rng = np.random.default_rng(0)
    seconds = np.empty((pairs, 2))
    for pair in range(pairs):
        for i in rng.permutation(2):
            start = time.perf_counter()
            both[i].run()
            seconds[pair, i] = time.perf_counter() - start
    return seconds[:, 1] / seconds[:, 0], float(np.median(seconds[:, 0]))


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    quick = parser.parse_args().quick
    embeddings, ids, label, weight = reviews(2000 if quick else None)
    print("| model | what | step, ms | a weight adds | 95% interval |")
    print("|---|---|---|---|---|")
    for name, make, features, rows, pairs in (
        ("dense head", dense_model, embeddings, None, 300),
        ("token convolution", token_model, ids, 4096, 40),
    ):
        for what, kind in (("an epoch", Epochs), ("on one batch", Steps)):
            both = []
            for given in (None, weight[:rows]):
                keras.utils.set_random_seed(0)
                model, _ = make(features)
                both.append(kind(model, (features[:rows], label[:rows], given)))
            found, seconds = ratios(both, 3 if quick else pairs)
            draws = np.random.default_rng(0).choice(found, (1000, len(found)))
            low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
            step = 1000 * seconds / -(-len(label[:rows]) // BATCH)
            more = np.median(found) - 1
            print(
                f"| {name} | {what} | {step:.2f} | {more:.1%} | "
                f"{low - 1:.1%} to {high - 1:.1%} |"
            )


if __name__ == "__main__":
    main()
