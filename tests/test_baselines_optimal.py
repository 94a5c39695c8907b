"""Baselines that solve a problem, against SciPy; gradients by differences."""

import numpy as np
import pytest
from baselines import confident
from baselines.density_ratio import (
    PENALTIES,
    folds,
    held_out_errors,
    kliep_alpha,
    moments,
    rulsif_theta,
)
from baselines.dvrl import reinforce, train
from baselines.kernels import median_distance, squared_distances
from baselines.lava import label_distances, lava, sinkhorn
from baselines.logistic import standardized
from baselines.mean_matching import kernel_mean_matching, matching_weights
from baselines.problem import Problem
from baselines.reweighting import meta_weights
from baselines.tracin import tracin
from scipy.optimize import linprog, minimize
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

RNG = np.random.default_rng(0)


def test_distances_and_their_median():
    a, b = RNG.normal(size=(6, 3)), RNG.normal(size=(4, 3))
    np.testing.assert_allclose(
        squared_distances(a, b), cdist(a, b, "sqeuclidean"), atol=1e-12
    )
    both = np.concatenate([a, b])
    pairs = [
        np.linalg.norm(both[i] - both[j]) for i in range(10) for j in range(i)
    ]
    assert median_distance(a, b, RNG) == pytest.approx(np.median(pairs))
    assert median_distance(a[:1], a[:1], RNG) == 1


def kernels(n=40, targets=25, centers=7):
    """Kernels of pool and target to the centres, as an exponential of |.|."""
    x, t = RNG.normal(size=(n, 2)), RNG.normal(0.7, 1, size=(targets, 2))
    return (np.exp(-cdist(each, t[:centers])) for each in (x, t))


def test_kliep_reaches_the_maximum_within_the_constraints():
    pool, target = kernels()
    alpha = kliep_alpha(pool, target)
    assert alpha.min() >= 0
    assert (pool @ alpha).mean() == pytest.approx(1)
    best = minimize(
        lambda a: -np.log(target @ a).mean(),
        np.full(7, 1 / pool.mean(axis=0).sum()),
        bounds=[(0, None)] * 7,
        constraints={"type": "eq", "fun": lambda a: (pool @ a).mean() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert np.log(target @ alpha).mean() == pytest.approx(-best.fun, abs=1e-4)


@pytest.mark.parametrize("mixed", [0.0, 0.3])
def test_rulsif_minimises_its_squared_error(mixed):
    pool, target = kernels()

    def error(theta):
        return (
            mixed / 2 * ((target @ theta) ** 2).mean()
            + (1 - mixed) / 2 * ((pool @ theta) ** 2).mean()
            - (target @ theta).mean()
            + 0.1 / 2 * theta @ theta
        )

    best = minimize(error, np.zeros(7), method="BFGS", tol=1e-9).x
    theta = rulsif_theta(*moments(pool, target, mixed), 0.1)
    np.testing.assert_allclose(theta, np.maximum(best, 0), atol=1e-4)


def test_the_held_out_error_is_of_rows_not_fitted():
    pool, target = kernels()
    problem = Problem(pool, np.zeros(40), target, np.zeros(25))
    expected = np.zeros(len(PENALTIES))
    for (a, b), (c, d) in zip(
        folds(40, problem), folds(25, problem), strict=True
    ):
        assert not set(a) & set(b)
        assert not set(c) & set(d)
        for row, penalty in enumerate(PENALTIES):
            theta = rulsif_theta(*moments(pool[a], target[c], 0.2), penalty)
            expected[row] += (
                0.1 * np.mean([(k @ theta) ** 2 for k in target[d]])
                + 0.4 * np.mean([(k @ theta) ** 2 for k in pool[b]])
                - np.mean([k @ theta for k in target[d]])
            ) / 5
    np.testing.assert_allclose(
        held_out_errors(pool, target, 0.2, problem), expected
    )


@pytest.mark.parametrize(
    ("strength", "total"),
    [(1.0, None), (9.0, 25 + 5 * (5 - 1)), (0.0, 25 - 5 * (5 - 1))],
    ids=["within", "at the most", "at the least"],
)
def test_mean_matching_solves_its_quadratic_program(strength, total):
    x, t = RNG.normal(size=(25, 2)), RNG.normal(0.7, 1, size=(9, 2))
    among = np.exp(-cdist(x, x, "sqeuclidean"))
    toward = strength * 25 * np.exp(-cdist(x, t, "sqeuclidean")).mean(axis=1)
    weights = matching_weights(among, toward)
    assert weights.min() >= 0
    if total is not None:
        assert weights.sum() == pytest.approx(total)

    def objective(w):
        return w @ among @ w / 2 - toward @ w

    best = minimize(
        objective,
        np.ones(25),
        jac=lambda w: among @ w - toward,
        bounds=[(0, 1000)] * 25,
        constraints=[
            {"type": "ineq", "fun": lambda w: 45 - w.sum()},
            {"type": "ineq", "fun": lambda w: w.sum() - 5},
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert objective(weights) == pytest.approx(best.fun, abs=1e-3)


def test_mean_matching_weighs_every_sample_of_a_pool_in_batches():
    x = RNG.normal(size=(2_001, 2))
    problem = Problem(x, np.zeros(2_001), x[:300], np.zeros(300))
    weights = kernel_mean_matching(problem)
    assert np.isfinite(weights).all()
    assert weights.mean() == pytest.approx(1, abs=0.05)


def transport(cost):
    """The least transport cost of uniform masses, by linear programming."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    return linprog(
        cost.ravel(),
        A_eq=np.concatenate([rows, columns]),
        b_eq=np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)]),
    ).fun


def test_sinkhorn_nears_the_linear_program():
    cost = RNG.random((7, 5))
    f, g = sinkhorn(cost, 1e-3, steps=5000)
    assert f.mean() + g.mean() == pytest.approx(transport(cost), abs=5e-3)


def test_sinkhorn_moves_the_masses_that_there_are():
    cost = RNG.random((7, 5))
    f, g = sinkhorn(cost, 0.1, tolerance=1e-9)
    plan = np.exp((f[:, None] + g - cost) / 0.1) / 35
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 7, atol=1e-6)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 5, atol=1e-6)


def entropic(cost, mass=None, entropy=0.1):
    """The least transport cost less entropy, by its dual in the targets."""
    mass = np.full(len(cost), 1 / len(cost)) if mass is None else mass

    def loss(g):
        carried = logsumexp((g - cost) / entropy, axis=1) - np.log(len(g))
        return entropy * mass @ carried - g.mean()

    return -minimize(loss, np.zeros(cost.shape[1]), tol=1e-9).fun


def test_lava_is_the_change_of_the_cost_as_mass_moves_to_a_sample():
    x, t = RNG.normal(size=(7, 2)), RNG.normal(size=(5, 2))
    label, wanted = np.array([0, 1, 1, 0, 1, 0, 1]), np.arange(5) % 2
    squared = cdist(x, t, "sqeuclidean") / 2
    between = np.array(
        [
            [entropic(squared[label == i][:, wanted == j]) for j in (0, 1)]
            for i in (0, 1)
        ]
    )
    np.testing.assert_allclose(
        label_distances(squared, label, wanted, 0.1), between, atol=1e-3
    )
    cost = squared + between[label][:, wanted] / 2
    values = lava(Problem(x, label, t, wanted))
    for i, value in enumerate(values):
        move = np.full(7, -1 / 6)
        move[i] = 1
        ends = [entropic(cost, 1 / 7 + h * move) for h in (1e-3, -1e-3)]
        assert value == pytest.approx(-(ends[0] - ends[1]) / 2e-3, abs=5e-3)


# Three rows given 0 and three given 1; thresholds 0.6 and 0.7.
ONE = np.array([0.2, 0.3, 0.7, 0.9, 0.9, 0.3])
PROBABILITY = np.column_stack([1 - ONE, ONE])
GIVEN = np.array([0, 0, 0, 1, 1, 1])


def test_confident_learning_by_hand():
    np.testing.assert_allclose(
        confident.thresholds(PROBABILITY, GIVEN), [0.6, 0.7]
    )
    # 0 reached by .8, .7 | .7; 1 by .7 | .9, .9.
    np.testing.assert_allclose(
        confident.confident_joint(PROBABILITY, GIVEN), [[2, 1], [1, 2]]
    )
    assert np.flatnonzero(
        confident.label_issues(PROBABILITY, GIVEN)
    ).tolist() == [2, 5]


def test_confident_counts_scale_to_all_rows_of_a_label():
    # Of the given 0, the row at 0.55 reaches neither 0.47 nor 0.75: of two
    # that count one is confidently 1, so of the three one and a half are.
    one = np.array([0.2, 0.55, 0.85, 0.6, 0.9])
    joint = confident.confident_joint(
        np.column_stack([1 - one, one]), np.array([0, 0, 0, 1, 1])
    )
    np.testing.assert_allclose(joint, [[1.5, 1.5], [0, 2]])


def test_no_suspect_has_the_more_probable_label():
    # Thresholds 0.75 and 0.35: the second row counts as confidently 1, but
    # its own label, 0, is the more probable one.
    one = np.array([0.1, 0.4, 0.3, 0.4])
    probability, given = np.column_stack([1 - one, one]), np.arange(4) // 2
    np.testing.assert_allclose(
        confident.confident_joint(probability, given), [[1, 1], [0, 2]]
    )
    assert not confident.label_issues(probability, given).any()


def test_adjusted_probabilities_by_hand():
    # 0.8 - 0.6 + 0.7 and 0.2 - 0.7 + 0.7, over their sum, 1.1.
    np.testing.assert_allclose(
        confident.adjusted(PROBABILITY, GIVEN)[0], [0.9 / 1.1, 0.2 / 1.1]
    )


def log_loss(head, x, label):
    signed = np.where(label, 1, -1) * (x @ head)
    return np.log1p(np.exp(-signed)).mean()


def small_problem():
    x, t = RNG.normal(1, 2, size=(30, 3)), RNG.normal(1, 2, size=(10, 3))
    return Problem(x, RNG.integers(2, size=30), t, RNG.integers(2, size=10))


def test_rows_are_standardised_by_the_pool():
    problem = small_problem()
    x, t = standardized(problem.features, problem.target_features)
    np.testing.assert_allclose(x[:, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((x[:, :3] ** 2).sum(axis=1).mean(), 1)
    np.testing.assert_array_equal(x[:, 3], 1)
    np.testing.assert_allclose(
        t[0, 1] * np.sqrt(3),
        (problem.target_features[0, 1] - problem.features[:, 1].mean())
        / problem.features[:, 1].std(),
    )


def test_one_step_of_tracin_by_hand():
    problem = small_problem()
    x, t = standardized(problem.features, problem.target_features)
    expected = [
        2.0
        * np.mean(
            [
                (0.5 - y) * (0.5 - wanted) * (v @ u)
                for u, wanted in zip(t, problem.target_label, strict=True)
            ]
        )
        for v, y in zip(x, problem.label, strict=True)
    ]
    np.testing.assert_allclose(tracin(problem, steps=1, rate=2.0), expected)


def test_tracin_shares_out_the_fall_of_the_target_loss():
    problem = small_problem()
    x, t = standardized(problem.features, problem.target_features)
    head, steps, rate = np.zeros(4), 50, 0.01
    for _ in range(steps):
        slope = -problem.label + 1 / (1 + np.exp(-x @ head))
        head = head - rate * slope @ x / 30
    fall = np.log(2) - log_loss(head, t, problem.target_label)
    total = tracin(problem, steps=steps, rate=rate).sum() / 30
    assert total == pytest.approx(fall, rel=0.02)


def test_meta_weights_follow_the_target_loss_of_a_virtual_step():
    problem = small_problem()
    x, t = standardized(problem.features, problem.target_features)
    head, h = RNG.normal(size=4), 1e-5

    def after(weight):
        gradients = (1 / (1 + np.exp(-x @ head)) - problem.label)[:, None] * x
        return log_loss(head - weight @ gradients, t, problem.target_label)

    slopes = [(after(h * e) - after(-h * e)) / (2 * h) for e in np.eye(30)]
    expected = np.maximum(-np.array(slopes), 0)
    residual = 1 / (1 + np.exp(-x @ head)) - problem.label
    toward = [
        (log_loss(head + h * e, t, problem.target_label) - after(np.zeros(30)))
        / h
        for e in np.eye(4)
    ]
    weights = meta_weights(residual, x, np.array(toward))
    np.testing.assert_allclose(
        weights, expected * 30 / expected.sum(), rtol=1e-2, atol=1e-2
    )
    assert meta_weights(residual, x, np.zeros(4)).tolist() == [0] * 30


def test_the_predictor_of_dvrl_trains_on_the_selection_only():
    problem = small_problem()
    x, _ = standardized(problem.features, problem.target_features)
    chosen = (np.arange(30) < 20).astype(float)
    head = train(x, problem.label, chosen, steps=5000)
    model = LogisticRegression(C=1e6, fit_intercept=False, tol=1e-8)
    model.fit(x[:20], problem.label[:20])
    np.testing.assert_allclose(head, model.coef_[0], rtol=1e-2, atol=1e-2)
    assert not train(x, problem.label, np.zeros(30)).any()


def test_reinforce_by_hand():
    probability = np.array([[0.9], [0.2]], np.float32)
    answer = np.array([[1, 0.5], [1, 0.5]], np.float32)
    expected = -0.5 * (np.log(0.9) + np.log(0.2))
    assert float(reinforce(answer, probability)) == pytest.approx(expected)
    sure = np.array([[0.98], [0.96]], np.float32)  # the mean is 0.07 over
    expected = 70 - 0.5 * (np.log(0.98) + np.log(0.96))
    assert float(reinforce(answer, sure)) == pytest.approx(expected, rel=1e-4)
