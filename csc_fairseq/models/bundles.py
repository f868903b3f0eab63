"""Bundles of `csc export` for fairseq's own loader, which opens checkpoints of trainings only."""

from dataclasses import asdict
from functools import cache, wraps
from typing import Any

from fairseq import checkpoint_utils
from fairseq.dataclass.utils import overwrite_args_by_name
from omegaconf import OmegaConf

from csc_fairseq.checkpoints.checkpoint import Checkpoint, read_checkpoint
from csc_fairseq.checkpoints.network import separative_encoder
from csc_fairseq.models.csc import CscConfig, CscModel


@cache
def let_fairseq_read_bundles() -> None:
    """Makes `fairseq.checkpoint_utils.load_checkpoint_to_cpu`, and what calls it, open bundles of csc as well.

    Other files are read as before. fairseq has no hook for this, so its function is replaced by one that calls it.
    """
    read = checkpoint_utils.load_checkpoint_to_cpu

    @wraps(read)
    def load_checkpoint_to_cpu(path, arg_overrides=None, load_on_all_ranks=False):
        try:
            return read(path, arg_overrides, load_on_all_ranks)
        except KeyError:  # a bundle lacks the entries of a training that fairseq looks for
            checkpoint = read_checkpoint(path)
            if not checkpoint.is_bundle:
                raise
        state = state_of_bundle(checkpoint)
        if arg_overrides is not None:
            overwrite_args_by_name(state["cfg"], arg_overrides)
        return state

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def state_of_bundle(checkpoint: Checkpoint) -> dict[str, Any]:
    """The dictionary that fairseq makes of a checkpoint, for a bundle of csc.

    A bundle has no identity table, so the model's table has no rows. InputError: a bundle of another model, or a damaged one.
    """
    checkpoint.require("csc", remedy="give the checkpoint that was exported")
    network = separative_encoder(checkpoint)
    config = CscConfig(**asdict(network.config))
    model = CscModel(config, identities=[])
    model.encoder = network
    facts = {"identity_level": checkpoint.identity_level, "sample_rate": checkpoint.sample_rate}
    task = {
        "_name": "csc_pretraining",
        "identity": checkpoint.identity_level,
        "sample_rate": checkpoint.sample_rate,
        "sources": network.config.sources,
    }
    return {
        "args": None,
        "cfg": OmegaConf.create({"model": {**asdict(config), "_name": "csc"}, "task": task}),
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [{"num_updates": 0}],
        "task_state": {"identities": [], **facts},
        "extra_state": {},
        "last_optimizer_state": None,
    }
