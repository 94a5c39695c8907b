"""Four real data sets that come with the package; no download is needed.

Each lies in its own folder with its licence and attribution beside it. No
table holds a missing value: a text or category that the source lacks is "".
`load_examples("dataset:NAME", ...)` reads them like any other source.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tfimportance._checks import check_choice


@dataclass(frozen=True)
class Dataset:
    """What there is to know about a bundled data set at a glance.

    Attributes:
        name: What `load` and `dataset:NAME` call it.
        rows: Number of rows.
        label: The column that is usually learned.
        licence: SPDX name where there is one.
        source: Address of the original.
        summary: One line for a list.
    """

    name: str
    rows: int
    label: str
    licence: str
    source: str
    summary: str

    @property
    def folder(self) -> Path:
        """Where the Parquet file, its licence and its attribution lie."""
        return Path(__file__).parent / self.name


CATALOG = (
    Dataset(
        name="chorus_electronics",
        rows=3_188,
        label="rating",
        licence="Apache-2.0, product data Icecat Open Content License",
        source="https://github.com/o19s/chorus",
        summary="Search results for electronics rated three times over.",
    ),
    Dataset(
        name="esci_sample",
        rows=2_670,
        label="esci_label",
        licence="Apache-2.0",
        source="https://github.com/amazon-science/esci-data",
        summary="Shopping queries and products, judged for relevance.",
    ),
    Dataset(
        name="open_bandit",
        rows=20_000,
        label="click",
        licence="Apache-2.0",
        source="https://github.com/st-tech/zr-obp",
        summary="Logged impressions and clicks of a fashion shop.",
    ),
    Dataset(
        name="womens_clothing_reviews",
        rows=23_486,
        label="recommended",
        licence="CC0-1.0",
        source="https://www.kaggle.com/datasets/nicapotato/"
        "womens-ecommerce-clothing-reviews",
        summary="Customer reviews of a clothing retailer.",
    ),
)


def names() -> list[str]:
    """Returns the names that `load` accepts.

    Example:
        >>> names()[0]
        'chorus_electronics'
    """
    return [dataset.name for dataset in CATALOG]


def load(name: str) -> pd.DataFrame:
    """Returns the bundled data set of that name.

    Example:
        >>> load("chorus_electronics").shape
        (3188, 9)

    Args:
        name: One of `names()`.

    Raises:
        InputError: There is no such set; the message names the nearest one.
    """
    check_choice("name", name, names())
    (dataset,) = (each for each in CATALOG if each.name == name)
    return pd.read_parquet(dataset.folder / f"{name}.parquet")


def load_womens_clothing_reviews() -> pd.DataFrame:
    """Customer reviews of a clothing retailer.

    23,486 rows. Label: `recommended` (0 or 1), 19,314 of them 1.

    845 rows have a rating but no text. They are kept, with "" as their
    `review`, so that all counts are those of the source; `frame[frame.review
    != ""]` leaves them out.

    Columns: `id`, `product_id`, `title`, `review`, `recommended`, `rating`
    (1 to 5), `positive_feedback_count`, `age`, `division`, `department` (6,
    and "" in 14 rows), `class_name` (20, and "" in 14 rows).

    Source:
    https://www.kaggle.com/datasets/nicapotato/womens-ecommerce-clothing-reviews

    Licence: CC0-1.0.

    Example:
        >>> int(load_womens_clothing_reviews().recommended.sum())
        19314
    """
    return load("womens_clothing_reviews")


def load_esci_sample() -> pd.DataFrame:
    """Shopping queries and products, judged for relevance.

    2,670 rows. Label: `esci_label`, 1,547 "exact", 687 "substitute", 336
    "irrelevant", 100 "complement". Most queries occur once; split by `query`.

    Columns: `id`, `query`, `query_locale` ("us" 1,725, "jp" 517, "es" 428),
    `product_id`, `product_locale` (another than the query's in 51 rows),
    `title`, `description` (may hold HTML), `bullet_points`, `brand`, `color`,
    `esci_label`.

    Source: https://github.com/amazon-science/esci-data

    Licence: Apache-2.0.

    Example:
        >>> int((load_esci_sample().esci_label == "exact").sum())
        1547
    """
    return load("esci_sample")


def load_chorus_electronics() -> pd.DataFrame:
    """Search results for electronics rated three times over.

    3,188 rows. Label: `rating` (0 to 3, the final one), 1,519 of them 2 or 3.
    At that threshold the raters agree with it on 94%, 91% and 90% of the
    rows: a real case of label noise. 135 queries; split by `query`, because a
    random split makes scores look far better than they are.

    Columns: `id`, `query`, `product_id`, `title`, `description` ("" in all but
    48 rows), `rating_1`, `rating_2`,
    `rating_3`, `rating`.

    Source: https://github.com/o19s/chorus

    Licence: Apache-2.0, product data Icecat Open Content License.

    Example:
        >>> int((load_chorus_electronics().rating >= 2).sum())
        1519
    """
    return load("chorus_electronics")


def load_open_bandit() -> pd.DataFrame:
    """Logged impressions and clicks of a fashion shop.

    20,000 rows: 10,000 under each `policy`, "bts" (Bernoulli Thompson
    sampling) and "random". Label: `click` (0 or 1), 42 and 38 of them 1. The
    features of the shown item are joined to each row. There is no text; user
    and item features are hashes of categories.

    Columns: `id`, `policy`, `timestamp` (UTC), `item_id` (80 items),
    `position` (1 to 3), `click`, `propensity_score` (in (0, 1]),
    `user_feature_0` to `user_feature_3`, `item_feature_0` (a number) to
    `item_feature_3`, `user_item_affinity_0` to `user_item_affinity_79` (past
    clicks of the user on each item).

    Source: https://github.com/st-tech/zr-obp

    Licence: Apache-2.0.

    Example:
        >>> load_open_bandit().groupby("policy").click.sum().to_dict()
        {'bts': 42, 'random': 38}
    """
    return load("open_bandit")
