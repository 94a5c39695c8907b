"""The whole chain: labelled text in, weights, comparison and model out.

load -> encode -> weigh -> fit (uniform | importance | ...)
     -> evaluate -> choose -> export -> report

running.py  run: the chain itself
parts.py    the rows: pool, target, validation, test
recipes.py  what is trained, by strategy
figures.py  what metrics.json and the model card say
"""

from tfimportance.pipeline.parts import load_parts
from tfimportance.pipeline.running import RunResult, run

__all__ = ["RunResult", "load_parts", "run"]
