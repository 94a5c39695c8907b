"""All baseline methods by name."""

from functools import partial

from baselines import confident
from baselines.density_ratio import kliep, rulsif, ulsif
from baselines.domain_classifier import domain_classifier
from baselines.dvrl import dvrl
from baselines.knn_shapley import knn_shapley
from baselines.lava import lava
from baselines.mean_matching import kernel_mean_matching
from baselines.out_of_bag import data_oob
from baselines.problem import Method
from baselines.reweighting import learning_to_reweight
from baselines.similarity import (
    cosine_max,
    cosine_mean,
    random,
    rds_round_robin,
)
from baselines.tracin import tracin

weights = partial(Method, is_weight=True)
values = partial(Method, is_weight=False)

METHODS: dict[str, Method] = {
    "random": values(random, source="uniform"),
    "cosine mean": values(cosine_mean, source="cosine to the mean target"),
    "cosine max": values(cosine_max, source="cosine to the nearest target"),
    "RDS+": values(
        rds_round_robin, source="Ivison et al. 2025, arXiv:2503.01807"
    ),
    "KLIEP": weights(kliep, source="Sugiyama et al. 2008"),
    "uLSIF": weights(ulsif, source="Kanamori et al. 2009, JMLR 10"),
    "RuLSIF": weights(rulsif, source="Yamada et al. 2013, arXiv:1106.4729"),
    "KMM": weights(kernel_mean_matching, source="Huang et al. 2006"),
    "domain classifier": weights(
        domain_classifier, source="Bickel et al. 2009, JMLR 10"
    ),
    "KNN-Shapley": values(
        knn_shapley, source="Jia et al. 2019, arXiv:1908.08619"
    ),
    "LAVA": values(lava, source="Just et al. 2023, arXiv:2305.00054"),
    "Data-OOB": values(data_oob, source="Kwon and Zou 2023, arXiv:2304.07718"),
    "cleanlab": values(
        confident.self_confidence,
        source="Northcutt et al. 2021, arXiv:1911.00068; self-confidence",
    ),
    "cleanlab adjusted": values(
        confident.adjusted_margin,
        source="the same; normalised margin, adjusted by class",
    ),
    "cleanlab pruned": weights(
        confident.pruned, source="the same; pruning by noise rate"
    ),
    "TracIn": values(tracin, source="Pruthi et al. 2020, arXiv:2002.08484"),
    "learning to reweight": weights(
        learning_to_reweight, source="Ren et al. 2018, arXiv:1803.09050"
    ),
    "DVRL": values(dvrl, source="Yoon et al. 2020, arXiv:1909.11671"),
}
