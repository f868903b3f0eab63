"""What tests are made of: tiny networks, their checkpoints in every form, and recordings that are like speech."""

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.checkpoints.checkpoint import BACKBONE_SETTINGS, PRETRAINING_SPEAKERS
from csc_fairseq.data.manifest import Manifest, read_manifest, write_labels, write_manifest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.loading import save_bundle
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.modules.verifier_head import VerifierHead

SAMPLE_RATE = 16000

# Separative encoders.

TINY = SeparativeEncoderConfig(
    waveform_channels=24,
    window=64,
    channels=16,
    segment_frames=8,
    segment_summaries=4,
    recurrent_channels=8,
    attention_heads=2,
    shared_blocks=1,
    stream_channels=16,
    embedding_channels=12,
    memory_size=5,
    memory_heads=2,
)


def tiny(**sizes: Any) -> SeparativeEncoderConfig:
    """TINY but for these sizes."""
    return replace(TINY, **sizes)


def separative_network(seed: int = 0, *, filled: int = 0, **sizes: Any) -> SeparativeEncoder:
    """A separative encoder of TINY's sizes but for `sizes`, with random weights.

    filled: so many embeddings are in its memory bank, and its attention to them changes the queries.
    """
    torch.manual_seed(seed)
    network = SeparativeEncoder(tiny(**sizes)).eval()
    if filled:
        memory, attention = network.memory, network.attention
        assert attention is not None
        memory.entries[:filled] = nn.functional.normalize(torch.randn(filled, memory.entries.shape[1]), dim=-1)
        memory.filled.fill_(filled)
        nn.init.normal_(attention.output.weight)  # zeros at the start, where attended embeddings are the queries
    return network


def speaker_encoder(
    seed: int = 0, sample_rate: int = SAMPLE_RATE, level: str = "speaker", *, filled: int = 0, **sizes: Any
) -> SpeakerEncoder:
    """The same, ready for use."""
    return SpeakerEncoder(separative_network(seed, filled=filled, **sizes), sample_rate, level)


# Checkpoints of ours.


def csc_checkpoint(network: SeparativeEncoder, **task_state: Any) -> dict[str, Any]:
    """A checkpoint's dictionary as fairseq writes it: encoder beside identity table, sizes among other settings."""
    return {
        "args": None,
        "cfg": {
            "common": {"seed": 1},
            "task": {"_name": "csc_pretraining", "data": "/data/that/is/gone", "sample_rate": SAMPLE_RATE},
            "model": {"_name": "csc", **asdict(network.config), "alpha": 12.0, "learn_alpha": False},
        },
        "model": {
            **{f"encoder.{name}": tensor for name, tensor in network.state_dict().items()},
            "table.weight": torch.randn(7, network.config.embedding_channels),
        },
        "optimizer_history": [{"num_updates": 3}],
        "task_state": {
            "identities": ["a", "b"],
            "identity_level": "session",
            "sample_rate": SAMPLE_RATE,
            **task_state,
        },
        "extra_state": {"epoch": 1},
        "last_optimizer_state": None,
    }


def verifier_checkpoint(
    backbone: Backbone, pooling: str = "attentive", embedding_channels: int = 5, **task_state: Any
) -> dict[str, Any]:
    """The dictionary of a fine-tuned checkpoint on this backbone, with a random head."""
    head = VerifierHead(backbone.layers, backbone.channels, backbone.embedding_channels, pooling, embedding_channels)
    return {
        "args": None,
        "cfg": {
            "task": {"_name": "speaker_verification"},
            "model": {"_name": "speaker_verifier", "pooling": pooling, "embedding_channels": embedding_channels},
        },
        "model": {
            **{f"encoder.{name}": weight for name, weight in backbone.state_dict().items()},
            **head.state_dict(),
        },
        "optimizer_history": [{"num_updates": 3}],
        "task_state": {
            "identities": ["a", "b"],
            "identity_level": "speaker",
            "sample_rate": backbone.sample_rate,
            BACKBONE_SETTINGS: backbone.settings,
            PRETRAINING_SPEAKERS: None,
            **task_state,
        },
        "extra_state": {"epoch": 1},
        "last_optimizer_state": None,
    }


def saved(state: Mapping[str, Any], path: Path) -> Path:
    """Writes a checkpoint's dictionary; its path."""
    torch.save(state, path)
    return path


def bundled(model: EmbeddingModel, path: Path) -> Path:
    """Writes a model as `csc export` does; its path."""
    save_bundle(model, path)
    return path


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A copy of nested dictionaries without the entry that the keys lead to."""
    key, rest = keys[0], keys[1:]
    if rest:
        return {**mapping, key: without(mapping[key], *rest)}
    return {name: value for name, value in mapping.items() if name != key}


# fairseq's pre-trained models, and checkpoints as fairseq writes them. They import fairseq where they are called.

WAV2VEC_LAYERS = 3
WAV2VEC_SIZES = {
    "conv_feature_layers": "[(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2",
    "encoder_layers": WAV2VEC_LAYERS,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 32,
    "encoder_attention_heads": 2,
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "final_dim": 8,
    "encoder_layerdrop": 0.5,  # must be off
    "dropout_input": 0.5,
}
XVECTOR = {"kind": "xvector", "sample_rate": SAMPLE_RATE, "widths": [4, 4, 4, 4, 6]}


def resolved(config: Any, **others: Any) -> dict[str, Any]:
    """A model's options as a checkpoint holds them: values, where the dataclass has references to other sections."""
    options = {field.name: getattr(config, field.name) for field in fields(config) if not field.name.startswith("_")}
    plain = {
        name: value.value if hasattr(value, "value") else value
        for name, value in options.items()
        if not (isinstance(value, str) and value.startswith("${"))
    }
    return {**plain, **others}


def make_wav2vec(**others: Any) -> tuple[nn.Module, dict[str, Any]]:
    """A tiny wav2vec 2.0 with random weights, of other options than WAV2VEC_SIZES if asked, and its options."""
    from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(**{"quantize_targets": True, "latent_vars": 4, "latent_dim": 8, **WAV2VEC_SIZES, **others})
    return Wav2Vec2Model(config).eval(), resolved(config)


def make_hubert(**others: Any) -> tuple[nn.Module, dict[str, Any], Any]:
    """A tiny HuBERT, its options, and the dictionary of its targets."""
    from fairseq.data.dictionary import Dictionary
    from fairseq.models.hubert.hubert import HubertConfig, HubertModel
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig

    torch.manual_seed(0)
    dictionary = Dictionary()
    for symbol in "abcdefg":
        dictionary.add_symbol(symbol)
    config = HubertConfig(**{**WAV2VEC_SIZES, "label_rate": 50.0, **others})
    model = HubertModel(config, HubertPretrainingConfig(sample_rate=SAMPLE_RATE), [dictionary]).eval()
    return model, resolved(config, label_rate=50.0), dictionary


def save_cfg(
    path: Path,
    model: nn.Module,
    options: Mapping[str, Any],
    name: str = "wav2vec2",
    task: Mapping[str, Any] | None = None,
    **others: Any,
) -> Path:
    """Writes a checkpoint as fairseq-hydra-train does; its path. others: entries beside those of every checkpoint."""
    task = {"_name": "audio_pretraining", "data": "/data/that/is/gone", "sample_rate": SAMPLE_RATE, **(task or {})}
    state = {
        "args": None,
        "cfg": {"_name": None, "common": {"seed": 1}, "task": task, "model": {"_name": name, **options}},
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 3, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": {},
        "last_optimizer_state": None,
    }
    return saved(state | others, path)


def save_args(path: Path, model: nn.Module, options: Mapping[str, Any], **others: Any) -> Path:
    """Writes a checkpoint as fairseq-train did before 2021, all options in one namespace; its path. others: options."""
    args = Namespace(
        arch="wav2vec2",
        task="audio_pretraining",
        criterion="wav2vec",
        optimizer="adam",
        lr_scheduler="polynomial_decay",
        lr=[0.0005],
        adam_betas="(0.9, 0.98)",
        data="/data/that/is/gone",
        sample_rate=SAMPLE_RATE,
        normalize=False,
        no_save=True,
        **{**options, "latent_temp": "(2, 0.5, 0.999995)"},
    )
    vars(args).update(others)
    state = {
        "args": args,
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 3, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
    return saved(state, path)


def save_hubert(
    path: Path, model: nn.Module, options: Mapping[str, Any], dictionary: Any, normalize: bool = False
) -> Path:
    """Writes what `make_hubert` gives; its path."""
    task = {"_name": "hubert_pretraining", "labels": ["km"], "label_rate": 50.0, "normalize": normalize}
    return save_cfg(path, model, options, "hubert", task, task_state={"dictionaries": [dictionary]})


# Recordings and corpora.


def syllables(samples: int, seed: int = 0, quietest: float = 0.0) -> np.ndarray:
    """Noise whose loudness moves as speech's does, float32 [samples]."""
    rng = np.random.default_rng(seed)
    knots = np.arange(0, samples + 3200, 1600)
    envelope = np.interp(np.arange(samples), knots, rng.uniform(quietest, 1, len(knots)))
    return (0.1 * envelope * rng.standard_normal(samples)).astype(np.float32)


def voice(speaker: int, take: int, seconds: float = 2.5) -> np.ndarray:
    """A speech-like take of a synthetic speaker, float32 [T] at 16 kHz.

    A speaker is a pitch and three formants; a take is a melody and a syllable rhythm. Takes differ in content, not in voice, so
    speakers can be told apart and, in mixtures, separated.
    """
    traits = np.random.default_rng([7, speaker])
    pitch, formants = traits.uniform(90, 260), traits.uniform((300, 900, 2000), (800, 1900, 3200))
    rng = np.random.default_rng([11, speaker, take])
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    knots = np.linspace(0, seconds, max(3, round(seconds * 4)))
    melody = np.interp(time, knots, rng.uniform(0.9, 1.1, len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch * melody) / SAMPLE_RATE
    rhythm = np.clip(np.interp(time, knots, rng.uniform(-0.3, 1.0, len(knots))), 0, None)
    samples = np.zeros_like(time)
    for harmonic in range(1, int(3800 / pitch)):
        gain = np.exp(-(((harmonic * pitch - formants) / 150) ** 2)).sum() + 0.02
        samples += gain * np.sin(harmonic * phase)
    samples = samples * rhythm + 0.001 * rng.standard_normal(len(time))
    return (0.1 * samples / np.abs(samples).max()).astype(np.float32)


LETTERS = {"A": 300, "B": 900, "C": 2700}
"""A language of tones: Hz of each letter."""


def spoken(text: str, rng: np.random.Generator) -> np.ndarray:
    """Each letter a tone of 0.12 s with soft ends, each blank as long a pause, all in faint noise; float32 [T]."""
    time = np.arange(round(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    soft = np.sin(np.pi * time / 0.12) ** 0.5
    tones = [
        soft * np.sin(2 * np.pi * LETTERS[letter] * time) if letter in LETTERS else 0 * time for letter in f" {text} "
    ]
    samples = np.concatenate(tones)
    return (0.1 * samples + 0.001 * rng.standard_normal(len(samples))).astype(np.float32)


FORMATS = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_16"), ".opus": ("OGG", "OPUS")}
"""Container and coding of a file with this ending; .wav is without loss."""


def write_recording(path: Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Writes (T,) or (T, channels) in the format that the file's name asks for; its path."""
    container, coding = FORMATS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate, format=container, subtype=coding)
    return path


def write_noise(path: Path, seconds: float = 0.2, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    """The same of white noise, another one for each name, for tests that do not listen."""
    frames = round(seconds * sample_rate)
    samples = np.random.default_rng(list(str(path).encode())).standard_normal(
        (frames, channels) if channels > 1 else frames
    )
    return write_recording(path, 0.1 * samples, sample_rate)


def write_recordings(
    manifest: Path,
    signals: Mapping[str, np.ndarray],
    speakers: Iterable[str] | None = None,
    root: Path | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> Manifest:
    """Writes recordings and their manifest.

    Args:
        manifest: path of NAME.tsv. signals: samples by the name of their file. speakers: for each its speaker, for NAME.spk.
        root: folder of the files; None: the folder NAME beside the manifest.
    """
    root = root or manifest.with_suffix("")
    root.mkdir(parents=True, exist_ok=True)
    for name, samples in signals.items():
        write_recording(root / name, samples, sample_rate)
    write_manifest(manifest, root, [(name, len(samples)) for name, samples in signals.items()])
    if speakers is not None:
        write_labels(manifest.with_suffix(".spk"), speakers)
    return read_manifest(manifest)


def write_voices(folder: Path, split: str, takes: Mapping[int, Sequence[int]]) -> Manifest:
    """Synthesises `takes` of each speaker into folder/audio, and writes folder/split.tsv and split.spk."""
    signals = {
        f"s{speaker:02d}/t{take:02d}.flac": voice(speaker, take)
        for speaker, numbers in takes.items()
        for take in numbers
    }
    return write_recordings(folder / f"{split}.tsv", signals, [name[:3] for name in signals], folder / "audio")


# Complaints.


def fails(function: Callable[..., object], *arguments: object) -> str:
    """The message of the InputError that a call ends with: one line."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def killed_after_renames(count: int) -> Callable[[Path, Path], None]:
    """In place of os.replace: renames so many files, and is interrupted at the next one."""
    replace_file, done = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(target)
        replace_file(source, target)

    return killed
