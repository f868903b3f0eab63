"""Packaging of csc-fairseq. Build settings and tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "csc_fairseq" / "__init__.py").read_text(), re.MULTILINE)[1]
REQUIRED = [
    "fairseq-fixed==0.12.3.1",  # fairseq's git main, importable on Python >= 3.11 as upstream is not
    "torch",  # which build (CPU, CUDA) is the user's affair: the Makefile chooses one, this file does not
    "soundfile>=0.13",  # WAV, FLAC and Ogg-Opus with partial reads (0.13 brings libsndfile 1.2.2)
    "soxr",  # resampling where the user opts in
    "hydra-core",  # configurations; fairseq-fixed pins the version
    "numpy",  # audio before it becomes a tensor, keyed generators
    "scipy",  # FFT convolution with room impulse responses, sparse sums of the bootstrap
    "scikit-learn",  # logistic regression that calibrates scores; t-SNE of the demo's embeddings
    "torchmetrics",  # BSS-eval's SDR; in the tests a second SI-SNR and permutation-invariant loss to compare with
    "matplotlib",  # the figures of evaluations and of the demo
    "editdistance",  # fairseq's audio fine-tuning task imports it without declaring it
    "tqdm",  # progress bars
    "tensorboardX",  # fairseq writes TensorBoard files only where it finds this
]
DEMO = [
    "espeakng-loader",  # the espeak-ng library, its data and its voices, as one package
]
BASELINES = [
    "resemblyzer",  # the GE2E encoder, weights included, to compare with
    "setuptools>=77,<81",  # resemblyzer imports webrtcvad, and that pkg_resources, which setuptools 81 dropped
]
TEST = (
    DEMO
    + BASELINES
    + [
        "pytest",
        "ruff",
        "pytorch-metric-learning>=2.9,<3",  # margin softmax losses with sub-centres, to compare ours with
        "mir_eval>=0.8,<0.9",  # BSS-eval's reference implementation; its separation module goes in 0.9
    ]
)

setup(
    name="csc-fairseq",
    version=VERSION,
    description="Contrastive separative coding: pre-training of speaker representations for fairseq",
    license="MIT",
    python_requires=">=3.11,<3.14",
    # One explicit root makes setuptools install in editable mode through a plain .pth line. Its other way, an import
    # hook, hides the namespace package hydra_plugins from the directory walk by which Hydra finds plugins.
    package_dir={"": "."},
    # hydra_plugins itself is a namespace package shared with other distributions: it has no __init__.py.
    packages=find_packages(include=["csc_fairseq", "csc_fairseq.*"])
    + find_namespace_packages(include=["hydra_plugins", "hydra_plugins.csc_search_path"]),
    package_data={"csc_fairseq": ["config/*.yaml", "config/*/*.yaml"]},
    install_requires=REQUIRED,
    extras_require={"baselines": BASELINES, "demo": DEMO, "test": TEST},
    entry_points={"console_scripts": ["csc = csc_fairseq.cli.main:main"]},
)
