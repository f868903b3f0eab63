"""A checkpoint: a file of weights, ours or fairseq's. It is read once and handed on; what was checked is what is used."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from csc_fairseq.checkpoints.entries import Entries, listed, one_line, shown
from csc_fairseq.checkpoints.reading import read_entries
from csc_fairseq.checkpoints.weights import require_weights
from csc_fairseq.data.manifest import IDENTITY_LEVELS
from csc_fairseq.errors import InputError

BUNDLE_FORMAT = "csc-bundle"
BUNDLE_VERSIONS = {"csc": 1, "speaker_verifier": 2}
BACKBONE_SETTINGS = "encoder_settings"
"""Entry of a fine-tuned checkpoint's task state: what its backbone is built from."""
PRETRAINING_SPEAKERS = "pretraining_speakers"
"""Likewise: labels of the speakers of pre-training, about whom no trials should be; None if its checkpoint did not tell them."""
SAMPLE_RATES = 1000, 768_000  # Hz
MOST_UPDATES = 10**12
MOST_SECONDS = 1e10


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds, in one of three forms.

    - fairseq's checkpoints, ours among them: options under `cfg`, weights under `model`, `task_state` for the rest.
    - fairseq's before 2021: the options of everything together, under `args`.
    - bundles of `csc export`: entries of their own.

    path: the file. entries: its dictionary; the properties check what they return, and raise InputError, which names the
    file, for what is damaged.
    """

    path: str
    entries: dict[Any, Any]

    def __post_init__(self) -> None:
        forms = [name for name in ("format", "args", "cfg") if self.entries.get(name) is not None]
        if len(forms) > 1:
            raise InputError(
                f"{self.path}: has the entries {' and '.join(forms)}, so it is two kinds of checkpoint; expected one of them"
            )

    @property
    def is_bundle(self) -> bool:
        """Whether `csc export` wrote it."""
        return self.entries.get("format") == BUNDLE_FORMAT

    @cached_property
    def architecture(self) -> str | None:
        """The name under which fairseq registers the model (csc, wav2vec2, hubert, …); None for files that have none."""
        if self.is_bundle:
            return self.all.text("architecture", default="csc")
        options = self._options_of("model")
        if options is None:
            return None
        names = [options[key] for key in ("_name", "arch") if options.get(key) is not None]
        for name in names:
            if not isinstance(name, str):
                raise InputError(f"{self.path}: its architecture is {shown(name)}, expected a text; it is damaged")
        if len(set(names)) > 1:
            raise InputError(
                f"{self.path}: names two architectures, {' and '.join(map(shown, names))}; expected one; it is damaged"
            )
        return names[0] if names else None

    def require(self, *architectures: str, remedy: str = "") -> None:
        """InputError unless it is of one of these architectures, and a bundle of the version that is read.

        remedy: what to do, for the complaint.
        """
        expected = f"expected a checkpoint of {' or '.join(architectures)}" + (f"; {remedy}" if remedy else "")
        found = self.architecture
        if found is None:
            raise InputError(f"{self.path}: holds {listed(self.entries)}, {expected}")
        if found not in architectures:
            raise InputError(f"{self.path}: is a checkpoint of architecture {shown(found)}, {expected}")
        if self.is_bundle:
            version, known = self.all.whole("version"), BUNDLE_VERSIONS.get(found)
            if version != known:
                raise InputError(
                    f"{self.path}: is a bundle of {found}, version {version}, expected {known}; update csc-fairseq"
                )

    @property
    def all(self) -> Entries:
        """Everything in it."""
        return Entries(self.entries, self.path)

    @property
    def options(self) -> Entries:
        """Options of the model."""
        values = self.all.within("config").values if self.is_bundle else self._options_of("model")
        if values is None:
            raise InputError(f"{self.path}: holds {listed(self.entries)}, expected the options of a model")
        return Entries(values, self.path, "model setting")

    @property
    def task_options(self) -> Entries:
        """Options of fairseq's task."""
        return Entries(self._options_of("task") or {}, self.path, "task setting")

    @property
    def task_state(self) -> Entries:
        """What the task left for inference: identities, their level, sample rate, settings of a backbone."""
        return self.all if self.is_bundle else self.all.within("task_state")

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """By name: dense, finite, and as large as their shapes say."""
        return require_weights(self.all.within("state_dict" if self.is_bundle else "model").values, self.path)

    @property
    def sample_rate(self) -> int:
        """Hz that a model of ours takes."""
        return self.task_state.whole("sample_rate", *SAMPLE_RATES)

    @property
    def identity_level(self) -> str:
        """What a model of ours was trained to tell apart."""
        return self.task_state.text("identity_level", IDENTITY_LEVELS)

    @property
    def speakers(self) -> set[str] | None:
        """Speakers of training or fine-tuning, with those of the pre-training that it started from, as far as known.

        None where the file does not tell any, as fairseq's own, and bundles.
        """
        if self.is_bundle or self.architecture not in ("csc", "speaker_verifier"):
            return None
        state = self.all.within("task_state", default={})
        before = set(state.texts(PRETRAINING_SPEAKERS, default=[]))
        if state.get("identity_level", None) != "speaker":
            return before or None
        return {*state.texts("identities"), *before}

    @property
    def all_speakers(self) -> set[str] | None:
        """`speakers`, but None also where the model was, or may have been, trained on speakers that the file does not name."""
        if self.is_bundle or self.architecture not in ("csc", "speaker_verifier"):
            return None
        state = self.all.within("task_state", default={})
        started = self.architecture == "speaker_verifier" or self.options.get("pretrained", default=None) is not None
        if started and state.get(PRETRAINING_SPEAKERS, default=None) is None:
            return None
        if state.get("identity_level", None) != "speaker":
            return None
        return self.speakers

    @property
    def description(self) -> str:
        """For reports: what it is and was trained on, as far as it tells."""
        facts = [f"{one_line(self.architecture)}, {self.path}"]
        state = self.all if self.is_bundle else self.all.within("task_state", default={})
        level = state.get("identity_level", None)
        if level is not None and "identities" in state.values:
            facts.append(f"{len(state.texts('identities'))} identities of level {self.identity_level}")
        elif level is not None:
            facts.append(f"identities of level {self.identity_level}")
        history = self.all.get("optimizer_history", default=[])
        if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
            raise self.all.unfit("optimizer_history", history, "a list of dictionaries")
        if history:
            updates = Entries(history[-1], self.path).whole("num_updates", 0, MOST_UPDATES)
            facts.append(f"{updates} updates")
        extra = self.all.within("extra_state", default={})
        seconds = extra.number("previous_training_time", 0, MOST_SECONDS, default=0)
        if seconds:
            facts.append(f"{seconds / 60:.0f} minutes of training")
        return ", ".join(facts)

    def _options_of(self, part: str) -> Mapping[Any, Any] | None:
        """Options of "model" or "task"; None if the file has no options at all."""
        args, cfg = self.entries.get("args"), self.entries.get("cfg")
        if args is not None:
            args = vars(args) if isinstance(args, Namespace) else args
            return Entries({"args": args}, self.path).within("args").values
        if "cfg" not in self.entries or "model" not in self.entries:
            return None
        options = Entries({"cfg": cfg}, self.path).within("cfg").values.get(part)
        return Entries({f"cfg.{part}": options}, self.path).within(f"cfg.{part}").values


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a file of weights. InputError: no such file, a damaged one, one that needs code to load."""
    return Checkpoint(str(path), read_entries(path))
