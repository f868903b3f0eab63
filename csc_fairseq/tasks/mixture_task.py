"""What tasks on keyed mixtures share: the state that checkpoints keep, the pool of talkers, and the measured wait for data."""

import time
from collections.abc import Sequence
from pathlib import Path

from fairseq.tasks import FairseqTask

from csc_fairseq.data.manifest import IDENTITY_LEVELS, Manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.errors import InputError
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.tasks.mixing_config import MixingConfig, domain_weights, domains, reading


class MixtureTask(FairseqTask):
    """Base of the registered tasks. A subclass numbers the identities (`_training_identities`) and loads the datasets.

    identity_level: one of IDENTITY_LEVELS (manifest.py). InputError for another.
    """

    def __init__(self, cfg: MixingConfig, identity_level: str) -> None:
        super().__init__(cfg)
        if identity_level not in IDENTITY_LEVELS:
            raise InputError(f"task.identity is {identity_level!r}; choose one of {', '.join(IDENTITY_LEVELS)}")
        flush_denormals()
        self.state.add_factory("identities", self._training_identities)
        self.state.add_factory("sample_rate", lambda: cfg.sample_rate)
        self.state.add_factory("identity_level", lambda: identity_level)
        self._step_ended: float | None = None

    @classmethod
    def setup_task(cls, cfg: MixingConfig, **kwargs) -> "MixtureTask":
        """Called by fairseq, which passes `from_checkpoint` when it loads a model; that changes nothing here."""
        return cls(cfg)  # type: ignore[call-arg]  # a subclass names its level itself

    def _training_identities(self) -> list[str]:
        raise NotImplementedError

    @property
    def identities(self) -> list[str]:
        """Names of the training identities; their order is the order of the table's rows."""
        return self.state.identities

    def _table(self) -> dict[str, int]:
        """Rows of the training identities."""
        return {name: row for row, name in enumerate(self.identities)}

    def _pool(self, manifest: Manifest, labels: Sequence[str], fixed: bool) -> RecordingPool:
        """Recordings with one identity label each, to be mixed. fixed: all epochs are the same, and no domain has a weight."""
        weights = None if fixed else domain_weights(self.cfg)
        return RecordingPool(manifest, labels, self._table(), *reading(self.cfg), domains(self.cfg, manifest), weights)

    def state_dict(self) -> dict:
        """What a checkpoint keeps so that inference needs no data: identities, their level, the sample rate, what models add."""
        return {
            **self.state.state_dict,  # what models add
            "identities": self.state.identities,
            "identity_level": self.state.identity_level,
            "sample_rate": self.state.sample_rate,
        }

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """fairseq's step, timed. The time since the end of the step before is the wait for data, with some logging in it."""
        started = time.perf_counter()
        waited = 0.0 if self._step_ended is None else started - self._step_ended
        loss, sample_size, logging_output = super().train_step(
            sample, model, criterion, optimizer, update_num, ignore_grad
        )
        self._end_step()
        logging_output["wait_seconds"] = waited
        logging_output["step_seconds"] = self._step_ended - started + waited
        return loss, sample_size, logging_output

    def optimizer_step(self, optimizer, model, update_num) -> None:
        """fairseq's step, which is no wait for data."""
        super().optimizer_step(optimizer, model, update_num)
        self._end_step()

    def valid_step(self, sample, model, criterion):
        """fairseq's step; the time of a validation is no wait for data."""
        self._step_ended = None
        return super().valid_step(sample, model, criterion)

    def _end_step(self) -> None:
        self._step_ended = time.perf_counter()

    def max_positions(self) -> None:
        """No limit: views have a fixed length."""
        return None


def manifest_path(cfg: MixingConfig, split: str) -> Path:
    """Where the manifest of a split is."""
    return Path(cfg.data) / f"{split}.tsv"
