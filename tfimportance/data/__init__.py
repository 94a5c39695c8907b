"""Files, frames and tf.data sets to `Examples`, and splits of them."""

from tfimportance.data.examples import Examples
from tfimportance.data.loading import load_examples
from tfimportance.data.splitting import split_examples

__all__ = ["Examples", "load_examples", "split_examples"]
