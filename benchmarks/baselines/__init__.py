"""The methods that ours is measured against, each one call over a `Problem`.

>>> import numpy as np
>>> from baselines import METHODS, Problem
>>> rng = np.random.default_rng(0)
>>> features, target = rng.normal(size=(40, 3)), rng.normal(size=(9, 3))
>>> problem = Problem(features, features[:, 0] > 0, target, target[:, 0] > 0)
>>> METHODS["KNN-Shapley"](problem).shape
(40,)
"""

from baselines.problem import Method, Problem
from baselines.registry import METHODS

__all__ = ["METHODS", "Method", "Problem"]
