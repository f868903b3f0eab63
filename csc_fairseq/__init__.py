"""CSC: contrastive separative coding for fairseq.

Speaker embeddings that keep working while someone else is talking::

    import csc_fairseq as csc
    model = csc.load_model("checkpoint_best.pt")      # or a bundle; needs no data folder
    model.embed("a.wav")                              # (E,) float32, unit norm
    model.embed_sources("mix.wav")                    # (C, E), one embedding per talker heard
    model.separate("mix.wav")                         # (C, T)
    model.score("enrol.wav", "test.wav")              # cosine in [-1, 1]

Importing the package loads neither torch nor fairseq, so that the command line answers at once; the first use of
``load_model`` loads torch. fairseq is needed for training, and for wav2vec 2.0 and HuBERT. In a program that imports both packages,
in either order, fairseq's own functions know our tasks and models, and open bundles of CSC too::

    import csc_fairseq
    from fairseq import checkpoint_utils
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(["checkpoint_best.pt"])
"""

from csc_fairseq.package import __version__
from csc_fairseq.registration import register, register_when_fairseq_is_there

__all__ = ["__version__", "load_model", "register"]


def __getattr__(name: str):
    if name == "load_model":
        from csc_fairseq.inference.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "load_model"])


register_when_fairseq_is_there()  # last, since it may import modules that need the names above
