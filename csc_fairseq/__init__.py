"""CSC: contrastive separative coding for fairseq.

Speaker embeddings that keep working while someone else is talking::

    import csc_fairseq as csc
    model = csc.load_model("checkpoint_best.pt")      # or a bundle; needs no data folder
    model.embed("a.wav")                              # (E,) float32, unit norm
    model.embed_sources("mix.wav")                    # (C, E), one embedding per talker heard
    model.separate("mix.wav")                         # (C, T)
    model.score("enrol.wav", "test.wav")              # cosine in [-1, 1]

Importing the package loads neither torch nor fairseq, so that the command line answers at once; the first use of
``load_model`` loads torch. fairseq is needed for training only.
"""

__version__ = "0.1.0"

__all__ = ["__version__", "load_model", "register"]


def register() -> None:
    """Registers tasks, models and criterions with fairseq, for programs that call fairseq's Python functions themselves.

    `fairseq-hydra-train` does so by `common.user_dir`, which our configurations set.
    """
    import csc_fairseq.models.csc
    import csc_fairseq.models.ctc_probe
    import csc_fairseq.models.speaker_verifier
    import csc_fairseq.tasks.csc_pretraining
    import csc_fairseq.tasks.speaker_verification  # noqa: F401


def __getattr__(name: str):
    if name == "load_model":
        from csc_fairseq.inference.checkpoint import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "load_model"])
