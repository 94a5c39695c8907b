"""Training on two replicas of one machine."""

import json
import subprocess
import sys

import numpy as np
import pytest
import replicas
from replicas import WEIGHT, X, Y

pytestmark = pytest.mark.slow  # a process of its own, half a minute


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two replicas gave, in a process of their own."""
    folder = tmp_path_factory.mktemp("replicas")
    done = subprocess.run(
        [sys.executable, replicas.__file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def hand_step(weight, rows):
    """The kernel after one step of 0.3 along the weighted mean gradient."""
    gradient = X[:rows].T.astype(np.float64) @ (weight * (0.5 - Y[:rows]))
    return -0.3 * gradient


def test_the_weights_reach_the_loss_on_every_replica(two):
    expected = hand_step(WEIGHT / 240, 240)
    kernel = np.array(two["one step"]["weights"][0])[:, 0]
    assert kernel == pytest.approx(expected, abs=1e-6)
    loss = two["one step"]["history"]["loss"][0]
    assert loss == pytest.approx(WEIGHT.mean() * np.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "train"),
    [("steps", replicas.plain), ("stepping", replicas.stepping)],
)
def test_two_replicas_train_as_one_does(two, name, train):
    one = train(240, 60, 3)
    for ours, theirs in zip(two[name]["weights"], one["weights"], strict=True):
        assert np.array(ours) == pytest.approx(np.array(theirs), abs=1e-5)
    for figure, curve in one["history"].items():
        assert two[name]["history"][figure] == pytest.approx(curve, rel=1e-4)


def test_a_batch_that_cannot_be_halved_counts_by_replica(two):
    # One row is left for the second step: one replica has it, one has none,
    # and the mean over both halves its gradient. One replica would not.
    one = replicas.plain(61, 60, 1)
    difference = np.array(two["uneven"]["weights"][0]) - one["weights"][0]
    assert np.abs(difference).max() > 1e-3


def test_refreshed_weights_and_checkpoints_work_on_replicas(two):
    assert two["resumed"] == two["whole"]
    assert len(two["broken"]) == 2
    assert two["whole"][-1] < two["whole"][0]


def test_online_importance_reaches_its_effective_size_on_replicas(two):
    assert two["online"]["effective_fraction"] == pytest.approx(
        [0.85] * 2, abs=1e-3
    )
    assert two["online"]["target_auc"][-1] > 0.5
