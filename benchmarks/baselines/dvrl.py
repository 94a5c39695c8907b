"""DVRL: a network learns, by reinforcement, which samples to train on."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from baselines.logistic import sigmoid, standardized
from baselines.problem import Array, Problem

HIDDEN, COMBINED = 100, 10
EXPLORE = 0.9  # the mean probability is kept within [1 - this, this]


def dvrl(problem: Problem, *, steps: int = 500, batch_size: int = 256) -> Array:
    """Returns the learned probability of selecting each sample, in (0, 1).

    In each step the network gives the samples of a random batch their
    probabilities, a selection is drawn, a logistic regression is trained on
    it, and what its AUC on the target is above that of the whole pool rewards
    the selection (REINFORCE). Yoon, Arik and Pfister 2020, ICML,
    arXiv:1909.11671: the paper's network and losses, but 500 steps of 256
    samples in place of 2,000 of 2,000, and so small batches need a lower rate
    than its 0.01, at which the network goes dead.
    """
    x, t = standardized(problem.features, problem.target_features)
    everywhere = np.ones(len(x))

    def performance(head: Array) -> float:
        return float(roc_auc_score(problem.target_label, t @ head))

    baseline = performance(train(x, problem.label, everywhere))
    trusted = train(t, problem.target_label, np.ones(len(t)))
    surprise = np.abs(problem.label - sigmoid(x @ trusted))
    inputs = [
        np.column_stack([x[:, :-1], problem.label]).astype(np.float32),
        surprise[:, None].astype(np.float32),
    ]
    estimator, rng = value_estimator(x.shape[1], problem.seed), problem.rng()
    for _ in range(steps):
        batch = rng.integers(len(x), size=min(batch_size, len(x)))
        given = [each[batch] for each in inputs]
        probability = estimator.predict_on_batch(given)[:, 0]
        selected = (rng.random(len(batch)) < probability).astype(np.float32)
        head = train(x[batch], problem.label[batch], selected)
        reward = performance(head) - baseline
        answer = np.column_stack([selected, np.full(len(batch), reward)])
        estimator.train_on_batch(given, answer)
    return estimator.predict(inputs, batch_size=4096, verbose=0)[:, 0]


def train(
    x: Array,
    label: Array,
    weight: Array,
    *,
    steps: int = 100,
    rate: float = 4.0,
) -> Array:
    """Returns a logistic regression by gradient descent; 0 if none weighs."""
    head = np.zeros(x.shape[1])
    for _ in range(steps):
        residual = weight * (sigmoid(x @ head) - label)
        head -= rate * residual @ x / max(weight.sum(), 1)
    return head


def value_estimator(input_dim: int, seed: int) -> Any:
    """Returns the compiled network: (features and label, surprise) -> (0, 1).

    Its answer to learn from is (selected, reward), in two columns.
    """
    import keras  # the other methods need not wait for it

    def dense(units: int, activation: str = "relu") -> Any:
        start = keras.initializers.GlorotUniform(seed)
        return keras.layers.Dense(units, activation, kernel_initializer=start)

    sample = hidden = keras.Input((input_dim,))
    surprise = keras.Input((1,))
    for units in (HIDDEN, HIDDEN, HIDDEN, COMBINED):
        hidden = dense(units)(hidden)
    hidden = dense(COMBINED)(keras.layers.Concatenate()([hidden, surprise]))
    model = keras.Model([sample, surprise], dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.003), loss=reinforce)
    return model


def reinforce(answer: Any, probability: Any) -> Any:
    """Returns minus the rewarded log-likelihood, plus the cost of certainty.

    Minimised, it makes a rewarded selection more probable and a punished one
    less so; a mean probability beyond `EXPLORE` costs 1000 times the excess.
    """
    from keras import ops

    selected, reward = answer[:, 0], answer[0, 1]
    chosen = ops.clip(probability[:, 0], 1e-7, 1 - 1e-7)
    likelihood = selected * ops.log(chosen) + (1 - selected) * ops.log(
        1 - chosen
    )
    mean = ops.mean(chosen)
    excess = ops.relu(mean - EXPLORE) + ops.relu(1 - EXPLORE - mean)
    return 1000 * excess - reward * ops.sum(likelihood)
