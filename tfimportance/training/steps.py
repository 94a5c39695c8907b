"""A step whose size is each row's own: `LearningRate` inside Keras.

The optimizer is the user's and stays as it is. Just before its update, its
second moment is moved so that the update, made with the weighted gradient h,
ends where the unweighted gradient g would have taken it:

    v' = (b2 * v + (1 - b2) * (g^2 - h^2)) / b2
    b2 * v' + (1 - b2) * h^2 = b2 * v + (1 - b2) * g^2
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from tfimportance._checks import fail
from tfimportance.training.batches import Batches
from tfimportance.training.models import create_variables

_OPTIMIZERS = keras.optimizers
# Each divides by the root of an exponential mean of squared gradients, and is
# linear in the gradient else.
_DECAY = {
    _OPTIMIZERS.Adam: "beta_2",  # AdamW is one
    _OPTIMIZERS.Nadam: "beta_2",
    _OPTIMIZERS.RMSprop: "rho",
}
_TAKES_BACK = (
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "gradient_accumulation_steps",
    "centered",
)

# Its square times float32's rounding must stay below 1: v' is that much larger
# than the second moment that is left after the update.
_LARGEST = 1e3


@contextmanager
def step_size_by_row(model: keras.Model, batches: Batches) -> Iterator[None]:
    """Makes `sample_weight` each row's step size while it is entered.

    Raises:
        InputError: The model's step or optimizer is none that this is known
            to be right for.
    """
    optimizer = _inner(model.optimizer)
    _check(model, optimizer)
    if isinstance(optimizer, _OPTIMIZERS.SGD):
        yield  # linear in the gradient: a weight in the loss is a step size
        return
    create_variables(model, batches)
    model.train_step = functools.partial(_train_step, model)
    model.train_function = None
    try:
        yield
    finally:
        del model.train_step
        model.train_function = None


def _check(model: keras.Model, optimizer: Any) -> None:
    if type(model).train_step is not keras.Model.train_step:
        raise fail(
            "`model` must have Keras' own `train_step` with "
            "allocation='learning_rate'.",
            f"a {type(model).__name__} with its own",
            "Multiply the step sizes into its gradients yourself.",
        )
    if not isinstance(optimizer, (_OPTIMIZERS.SGD, *_DECAY)):
        raise fail(
            "`model` must be compiled with SGD, RMSprop, Adam, AdamW or Nadam "
            "with allocation='learning_rate'.",
            f"optimizer {type(optimizer).__name__}",
            "Other updates are not linear in the gradient.",
        )
    for name in _TAKES_BACK:
        if getattr(optimizer, name, None):
            raise fail(
                f"The optimizer must not use `{name}` with "
                "allocation='learning_rate'.",
                f"{name}={getattr(optimizer, name)}",
                "It would take back what a large weight gives.",
            )


def _train_step(model: keras.Model, data: Any) -> Any:
    """Keras' own step with two gradients, weighted and not."""
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    if weight is None:
        return keras.Model.train_step(model, data)
    optimizer, variables = model.optimizer, model.trainable_variables
    inner = _inner(optimizer)
    with tf.GradientTape(persistent=True) as tape:
        prediction = model(x, training=True)
        loss, plain = (
            model._compute_loss(x, y, prediction, each, training=True)
            for each in (weight, None)
        )
        losses = [optimizer.scale_loss(each) for each in (loss, plain)]
    given, even = (tape.gradient(each, variables) for each in losses)
    del tape
    used = [i for i, each in enumerate(given) if each is not None]
    steered = _steer(
        optimizer,
        [tf.convert_to_tensor(given[i]) for i in used],
        [tf.convert_to_tensor(even[i]) for i in used],
        # It knows more variables where layers were frozen after it was built.
        [
            inner._velocities[inner._get_variable_index(variables[i])]
            for i in used
        ],
        tf.reduce_max(tf.cast(weight, tf.float32)),
    )
    optimizer.apply_gradients(
        [(each, variables[i]) for each, i in zip(steered, used, strict=True)]
    )
    num_rows = tf.shape(keras.tree.flatten(x)[0])[0]
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    model._loss_tracker.update_state(loss * replicas, sample_weight=num_rows)
    return model.compute_metrics(x, y, prediction, sample_weight=weight)


def _steer(
    optimizer: Any,
    given: list[Any],
    even: list[Any],
    moments: list[Any],
    largest: Any,
) -> list[Any]:
    """Prepares the second moments; returns the gradients to apply.

    Args:
        optimizer: The model's, which may scale the loss.
        given: The weighted gradients of this replica, scaled.
        even: The unweighted ones.
        moments: The second moment of each variable.
        largest: The largest weight of this replica's rows, float32; one
            below 1 bounds as 1 does, one above 1,000 as 1,000.
    """
    decay = _decay(_inner(optimizer))
    largest = tf.clip_by_value(largest, 1.0, _LARGEST)
    scale = optimizer.scale_loss(tf.ones(()))
    given, even, largest = _of_all_replicas(given, even, largest)
    finite = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(g)) for g in (*given, *even)]
    )
    applied, prepared = [], []
    for weighted, plain, moment in zip(given, even, moments, strict=True):
        by = tf.cast(scale, weighted.dtype)
        h, g = weighted / by, plain / by
        goal = decay * moment + (1 - decay) * tf.square(g)
        bound = tf.cast(largest, goal.dtype) * tf.sqrt(goal / (1 - decay))
        h = tf.clip_by_value(h, -bound, bound)
        before = (goal - (1 - decay) * tf.square(h)) / decay
        # A step that mixed precision skips must leave the moments alone,
        # and the optimizer see why it is to be skipped.
        prepared.append(tf.where(finite, before, moment))
        applied.append(tf.where(finite, h * by, weighted + plain))
    context = tf.distribute.get_replica_context()
    context.merge_call(_assign, args=(moments, prepared))
    # The optimizer adds up what the replicas give it.
    return [each / context.num_replicas_in_sync for each in applied]


def _of_all_replicas(
    given: list[Any], even: list[Any], largest: Any
) -> tuple[list[Any], list[Any], Any]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return given, even, largest
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, [*given, *even])
    every = context.all_gather(largest[None], axis=0)
    return total[: len(given)], total[len(given) :], tf.reduce_max(every)


def _assign(strategy: Any, variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        strategy.extended.update(
            variable.value,
            lambda variable, value: variable.assign(value),
            args=(value,),
            group=False,
        )


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _decay(optimizer: Any) -> float:
    for kind, name in _DECAY.items():
        if isinstance(optimizer, kind):
            return float(getattr(optimizer, name))
    raise TypeError(type(optimizer).__name__)
