"""The names that are imported on first use."""

from . import datasets as datasets
from ._checks import InputError as InputError
from .allocation import (
    Combination as Combination,
    Curriculum as Curriculum,
    LearningRate as LearningRate,
    Repeat as Repeat,
    TopK as TopK,
    Weight as Weight,
    align_weights as align_weights,
    attach_weights as attach_weights,
)
from .bundle import Bundle as Bundle
from .comparison import (
    Comparison as Comparison,
    Part as Part,
    compare as compare,
)
from .config import RunConfig as RunConfig
from .data import (
    Examples as Examples,
    load_examples as load_examples,
    split_examples as split_examples,
)
from .diagnosis import (
    coverage as coverage,
    discovery_curve as discovery_curve,
    explain as explain,
    label_errors as label_errors,
)
from .encoding import (
    AttentionPooling as AttentionPooling,
    SequenceEncoder as SequenceEncoder,
    concat_embeddings as concat_embeddings,
    distill as distill,
    encode as encode,
    encode_columns as encode_columns,
    encode_distinct as encode_distinct,
    encode_sequences as encode_sequences,
    fit_columns as fit_columns,
    fit_whitening as fit_whitening,
    load_encoder as load_encoder,
    model_embeddings as model_embeddings,
    sequence_model as sequence_model,
)
from .evaluation import (
    Evaluation as Evaluation,
    evaluate as evaluate,
)
from .importance import (
    ParquetColumn as ParquetColumn,
    compress_targets as compress_targets,
    importance_scores as importance_scores,
)
from .pipeline import (
    RunResult as RunResult,
    run as run,
)
from .reliability import (
    choose_weights as choose_weights,
    label_reliability as label_reliability,
)
from .serving import (
    TargetSet as TargetSet,
    export as export,
    find_similar as find_similar,
    load_served as load_served,
    predict_file as predict_file,
)
from .similarity import (
    ClippedSinhSimilarity as ClippedSinhSimilarity,
    clipped_sinh_similarity as clipped_sinh_similarity,
)
from .training import (
    OnlineImportance as OnlineImportance,
    RefreshImportance as RefreshImportance,
    dense_head as dense_head,
    fit as fit,
)
from .weighting import (
    SampleWeight as SampleWeight,
    effective_sample_size as effective_sample_size,
    to_sample_weight as to_sample_weight,
)

__version__: str
