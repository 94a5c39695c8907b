"""Find the training samples that matter and train on them accordingly.

    load_examples -> encode -> importance_scores -> to_sample_weight
                  -> fit -> evaluate -> export

The names below are imported on first use, so that `import tfimportance` and
`tfimportance --help` do not wait for TensorFlow.
"""

from importlib.metadata import version as _version

import lazy_loader as _lazy

__version__ = _version("tfimportance")

# The names stand in __init__.pyi, for type checkers and editors as well.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
