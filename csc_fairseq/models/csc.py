"""fairseq model `csc`: the separative encoder plus the global speaker vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Optional  # Optional in dataclasses only: fairseq's parser does not read `X | None`

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import II
from torch import Tensor

from csc_fairseq.checkpoints.checkpoint import PRETRAINING_SPEAKERS, Checkpoint, read_checkpoint
from csc_fairseq.checkpoints.network import CONDITION_MEMORY, separative_encoder
from csc_fairseq.errors import InputError
from csc_fairseq.models.fine_tuned import RESAMPLING, require_trained_rate
from csc_fairseq.modules.global_vectors import KINDS, GlobalVectors, Talkers
from csc_fairseq.modules.identity_rows import IdentityRows
from csc_fairseq.modules.mean_table import MeanTable
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig, SeparativeOutput
from csc_fairseq.modules.speaker_table import SpeakerTable
from csc_fairseq.modules.view_vectors import AGGREGATES, ViewVectors
from csc_fairseq.options import option


@dataclass
class CscConfig(SeparativeEncoderConfig, FairseqDataclass):
    """Options of `model=csc`: the encoder's sizes and the global vectors."""

    sources: int = option(II("task.sources"), SeparativeEncoderConfig.__dataclass_fields__["sources"].metadata["help"])
    alpha: float = option(12.0, "concentration α of the contrastive loss, within [1, 40]")
    global_vectors: str = option(
        "table",
        "what a talker is compared with: views (the other views of the identity in the batch), table (a learnt row for each "
        "training identity), table_mean (a running mean of its queries)",
    )
    view_aggregate: str = option("mean", "how views become one vector where there are more than two: mean or attention")
    view_memory: int = option(
        0, "with views: streams of earlier batches that are further negatives; 0: those of the batch alone"
    )
    pretrained: Optional[str] = option(
        None, "checkpoint of csc whose encoder this training starts from; null: from scratch"
    )

    def __post_init__(self) -> None:
        """Checks nothing: `sources` still refers to the task's. `encoder_config` checks, once every value is known."""


def encoder_config(cfg: CscConfig) -> SeparativeEncoderConfig:
    """The encoder's own part of the model's options. InputError for impossible values."""
    return SeparativeEncoderConfig(
        **{field.name: getattr(cfg, field.name) for field in fields(SeparativeEncoderConfig)}
    )


@register_model("csc", dataclass=CscConfig)
class CscModel(IdentityRows, BaseFairseqModel):
    """Encoder and global vectors. Inference needs the encoder alone (`csc_fairseq.load_model`).

    Args:
        cfg: options. identities: names of the training identities, in the order of a table's rows.

    Raises:
        InputError: impossible sizes, an unknown kind of global vectors, or an α outside its range.
    """

    def __init__(self, cfg: CscConfig, identities: Sequence[str]) -> None:
        super().__init__()
        for name, known in (("global_vectors", KINDS), ("view_aggregate", AGGREGATES)):
            if getattr(cfg, name) not in known:
                raise InputError(f"model.{name} is {getattr(cfg, name)!r}; choose one of {', '.join(known)}")
        if cfg.view_memory < 0:
            raise InputError(f"model.view_memory is {cfg.view_memory}; expected 0 or more streams")
        self.cfg = cfg
        self.num_updates = 0
        self.encoder = SeparativeEncoder(encoder_config(cfg))
        self.table: SpeakerTable | MeanTable | None = None
        self.views: ViewVectors | None = None
        if cfg.global_vectors == "views":
            self.views = ViewVectors(cfg.embedding_channels, cfg.alpha, cfg.view_aggregate, cfg.view_memory)
        else:
            kind = SpeakerTable if cfg.global_vectors == "table" else MeanTable
            self.table = kind(len(identities), cfg.embedding_channels, cfg.alpha)
            self.set_identities(identities, rows="table.weight")

    @property
    def global_vectors(self) -> GlobalVectors:
        """What says who a talker is; a model that is to be trained has it."""
        return self.table if self.views is None else self.views

    @classmethod
    def build_model(cls, cfg: CscConfig, task: Any) -> "CscModel":
        """Called by fairseq; the task knows the identities.

        `cfg.pretrained` is read unless the task was restored from a checkpoint, as for use of the model. A resumed training reads
        it again. What it says of the speakers that were heard goes into the task's state.

        Raises:
            InputError: as of the class, of `start_from`, another sample rate, or views without a second one.
        """
        if cfg.global_vectors == "views" and task.cfg.views < 2:
            raise InputError(
                f"model.global_vectors=views compares views of an identity, and task.views is {task.cfg.views}; set task.views=2"
            )
        model = cls(cfg, task.identities)
        fresh: list[Checkpoint] = []

        def speakers_of_pretrained() -> list[str] | None:
            fresh.append(read_checkpoint(cfg.pretrained))
            return None if fresh[0].all_speakers is None else sorted(fresh[0].all_speakers)

        if cfg.pretrained is not None:
            task.state.add_factory(PRETRAINING_SPEAKERS, speakers_of_pretrained)
            getattr(task.state, PRETRAINING_SPEAKERS)  # calls the factory unless the state was restored
        for checkpoint in fresh:
            require_trained_rate(cfg.pretrained, checkpoint.sample_rate, task.cfg.sample_rate, RESAMPLING)
            model.start_from(checkpoint)
        return model

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Takes over the encoder of a checkpoint of csc, but for its condition memory.

        No weight depends on whether segments overlap, so that `segment_overlap` may change.

        InputError: another architecture, a damaged file, or other sizes than this model's but for those two, which it names.
        """
        network = separative_encoder(checkpoint)
        for field in fields(SeparativeEncoderConfig):
            theirs, ours = getattr(network.config, field.name), getattr(self.encoder.config, field.name)
            if theirs != ours and field.name != "segment_overlap" and not field.name.startswith("memory"):
                raise InputError(
                    f"{checkpoint.path}: has model.{field.name}={theirs}, but this training {ours}; set it to {theirs}, or choose "
                    "another model.pretrained"
                )
        weights = {
            name: weight for name, weight in network.state_dict().items() if not name.startswith(CONDITION_MEMORY)
        }
        self.encoder.load_state_dict(self.encoder.state_dict() | weights)

    def forward(
        self,
        source: Tensor,
        padding_mask: Tensor | None = None,
        recordings: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> SeparativeOutput:
        """(B, T) mixtures to `SeparativeOutput`; see `SeparativeEncoder.forward`."""
        return self.encoder(source, padding_mask, recordings, groups)

    def extract_features(
        self, source: Tensor, padding_mask: Tensor | None = None, mask: bool = False, layer: int | None = None
    ) -> dict:
        """Frames of the shared trunk, in the form of wav2vec 2.0. The heads do not run.

        Args:
            source: (B, T) waveforms of any level. padding_mask: (B, T) bool, True = padding; None: none.
            mask: False; callers of wav2vec 2.0 pass it, but this encoder masks nothing.
            layer: the block after which to stop, counted from 0 as wav2vec 2.0 does; None: the last.

        Returns:
            x: (B, L, D) output of block `layer`. features: the same. padding_mask: (B, L) bool, None if none was given.
            layer_results: for each block up to `layer`, its output (L, B, D), and None twice, where wav2vec 2.0 has more.

        Raises:
            InputError: mask is true, or the trunk has no block `layer`.
        """
        if mask:
            raise InputError("extract_features: mask is true, but CSC masks nothing; call it with mask=False")
        layers, padding = self.encoder.trunk_layers(source, padding_mask, layer)
        return {
            "x": layers[-1],
            "padding_mask": padding if padding_mask is not None else None,
            "features": layers[-1],
            "layer_results": [(frames.transpose(0, 1), None, None) for frames in layers],
        }

    def remove_pretraining_modules(self, last_layer: int | None = None) -> None:
        """Removes what only pre-training needs: the global vectors, the condition memory and the attention to it.

        As with wav2vec 2.0, load the weights before. Afterwards `attended` is `queries`.

        Args:
            last_layer: the last block of the trunk to keep, counted from 0; None: all. The heads were trained on what the very
                last block gives: without that block, estimates and queries mean little, so use `extract_features`.

        Raises:
            InputError: the trunk has no block `last_layer`; nothing is removed then.
        """
        self.encoder.require_block(last_layer)
        self.table = self.views = None
        self.drop_identities()
        self.encoder.remove_memory()
        if last_layer is not None:
            self.encoder.remove_blocks_above(last_layer)

    def set_num_updates(self, num_updates: int) -> None:
        """Decides whether this update sees the memory bank: a function of the update alone, so ranks and restarts agree."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates
        draw = torch.rand((), generator=torch.Generator().manual_seed(num_updates))
        self.encoder.memory_hidden = bool(draw < self.cfg.memory_drop)

    def stage(self, embeddings: Tensor, talkers: Talkers) -> None:
        """Keeps what the global vectors take in at `commit`: (n, E) queries and who they are of."""
        self.global_vectors.stage(embeddings, talkers)

    def discard(self, everything: bool = False) -> None:
        """Forgets what was staged, here and for the condition memory; see `Staged.discard`."""
        self.encoder.memory.discard(everything)
        self.global_vectors.discard(everything)

    def commit(self) -> None:
        """After an update, on all ranks together: the condition memory and the global vectors take in what was staged."""
        self.encoder.memory.commit()
        self.global_vectors.commit()

    def max_positions(self) -> None:
        """No limit on length."""
        return None


def unwrapped(model: Any) -> CscModel:
    """The model inside the wrappers that fairseq puts around it for several processes (one or two of them)."""
    while not isinstance(model, CscModel):
        model = model.module
    return model
