"""Which model a calibration or an enrolled voice belongs to: scores and embeddings of another one mean something else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.model_digest import model_digest

SHOWN = 8  # digits of a digest in a complaint


@dataclass(frozen=True)
class ModelIdentity:
    """name: of its file, for people. digest: see `model_digest`; two names with one digest are one model."""

    name: str
    digest: str

    @classmethod
    def of(cls, model: EmbeddingModel, name: str | Path) -> Self:
        """That of a model in use. name: its file."""
        return cls(Path(name).name, model_digest(model))

    def require(self, used: "ModelIdentity", what: str, remedy: str) -> None:
        """InputError unless `used` is this model. what: what belongs to it, e.g. "dev.json: was fitted". remedy: what to do."""
        if used.digest != self.digest:
            raise InputError(
                f"{what} with the model {self.name} ({self.digest[:SHOWN]}…), not with {used.name} ({used.digest[:SHOWN]}…); "
                f"{remedy}"
            )
