"""Files, frames and tf.data sets to `Examples`, and splits of them.

loading.py    load_examples, load_pair
examples.py   Examples: plain arrays, one entry a row
reading.py    any source to a frame of the wanted columns
columns.py    a column to the array that its use asks for
lists.py      a column of lists, such as the items that a user saw
tensors.py    a tf.data set to a frame
blocks.py     files of any length, by block
splitting.py  split_examples: random parts, groups together
"""

from tfimportance.data.examples import Examples
from tfimportance.data.loading import load_examples, load_pair
from tfimportance.data.splitting import split_examples

__all__ = ["Examples", "load_examples", "load_pair", "split_examples"]
