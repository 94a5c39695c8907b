"""Find the training samples that matter and train on them accordingly.

    load_examples -> encode -> importance_scores -> to_sample_weight
                  -> fit -> evaluate -> export

The names below are imported on first use, so that `import tfimportance` and
`tfimportance --help` do not wait for TensorFlow.
"""

from importlib.metadata import version as _version

import lazy_loader as _lazy

__version__ = _version("tfimportance")

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=["datasets"],
    submod_attrs={
        "_checks": ["InputError"],
        "allocation": [
            "Combination",
            "Curriculum",
            "LearningRate",
            "Repeat",
            "TopK",
            "Weight",
            "align_weights",
            "attach_weights",
        ],
        "data": ["Examples", "load_examples", "split_examples"],
        "diagnosis": [
            "coverage",
            "discovery_curve",
            "explain",
            "label_errors",
        ],
        "encoding": [
            "AttentionPooling",
            "SequenceEncoder",
            "concat_embeddings",
            "distill",
            "encode",
            "encode_columns",
            "encode_distinct",
            "encode_sequences",
            "fit_columns",
            "fit_whitening",
            "load_encoder",
            "model_embeddings",
            "sequence_model",
        ],
        "evaluation": ["Evaluation", "evaluate"],
        "importance": [
            "ParquetColumn",
            "compress_targets",
            "importance_scores",
        ],
        "bundle": ["Bundle"],
        "comparison": ["Comparison", "Part", "compare"],
        "config": ["RunConfig"],
        "pipeline": ["RunResult", "run"],
        "reliability": ["choose_weights", "label_reliability"],
        "serving": [
            "TargetSet",
            "export",
            "find_similar",
            "load_served",
            "predict_file",
        ],
        "similarity": ["ClippedSinhSimilarity", "clipped_sinh_similarity"],
        "training": [
            "OnlineImportance",
            "RefreshImportance",
            "dense_head",
            "fit",
        ],
        "weighting": [
            "SampleWeight",
            "effective_sample_size",
            "to_sample_weight",
        ],
    },
)
