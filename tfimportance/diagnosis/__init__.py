"""What a person should look at: reasons, wrong labels, gaps in the data.

explanation.py    explain: which voters make a sample important
contributions.py  what each voter adds
suspects.py       label_errors: the rows to review first
discovery.py      discovery_curve: how well a score finds known wrong rows
gaps.py           coverage: targets without a similar training sample
common.py         settings and texts, as all of these take them
"""

from tfimportance.diagnosis.discovery import Discovery, discovery_curve
from tfimportance.diagnosis.explanation import Explanation, explain
from tfimportance.diagnosis.gaps import Coverage, coverage
from tfimportance.diagnosis.suspects import label_errors

__all__ = [
    "Coverage",
    "Discovery",
    "Explanation",
    "coverage",
    "discovery_curve",
    "explain",
    "label_errors",
]
