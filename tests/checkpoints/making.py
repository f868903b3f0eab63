"""Tiny good files of every kind, what a right result of each is, and files that are written by hand."""

import io
import pickle
import resource
import struct
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from fairseq.data.dictionary import Dictionary
from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone
from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.backbones.wav2vec import Wav2VecBackbone, build_network, network_options
from csc_fairseq.backbones.xvector import XVectorBackbone
from csc_fairseq.checkpoints.checkpoint import Checkpoint
from csc_fairseq.checkpoints.entries import Entries
from csc_fairseq.inference.loading import load_model, model_of, save_bundle
from csc_fairseq.modules.ctc_head import CtcHead
from csc_fairseq.modules.separative_encoder import SeparativeEncoder, SeparativeEncoderConfig
from csc_fairseq.modules.verifier_head import VerifierHead
from csc_fairseq.verification.evaluation.content import load_reader

RATE = 16000
WAVEFORM = 0.1 * torch.randn(2400, generator=torch.Generator().manual_seed(0))
CSC = SeparativeEncoderConfig(
    waveform_channels=4, window=32, channels=4, segment_frames=4, segment_summaries=2, recurrent_channels=2,
    attention_heads=2, shared_blocks=1, separation_blocks=1, speaker_blocks=1, stream_channels=4, embedding_channels=4,
    memory_size=3, memory_heads=2,
)  # fmt: skip
WIDTHS = [2, 2, 2, 2, 3]
WAV2VEC = {
    "conv_feature_layers": "[(4, 10, 5)] + [(4, 4, 4)] * 2",
    "encoder_layers": 2,
    "encoder_embed_dim": 4,
    "encoder_ffn_embed_dim": 6,
    "encoder_attention_heads": 2,
    "conv_pos": 4,
    "conv_pos_groups": 2,
}
# Of pre-training alone: among them texts that fairseq evaluates, or resolves.
UNREAD_OPTIONS = {"latent_temp": "(2, 0.5, 0.999995)", "mask_selection": "static", "untie_final_proj": True}
EMBEDDING = 5
LONGEST_COMPLAINT = 500

State = dict[str, Any]


def written_by_fairseq(model: State, weights: dict[str, Tensor], task: State, task_state: State) -> State:
    return {
        "args": None,
        "cfg": {"_name": None, "common": {"seed": 1}, "task": {"data": "/data/that/is/gone", **task}, "model": model},
        "model": weights,
        "criterion": None,
        "optimizer_history": [{"num_updates": 3, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": 0.5}}],
        "task_state": task_state,
        "extra_state": {"train_iterator": {"epoch": 1}, "previous_training_time": 90.0},
        "last_optimizer_state": {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    }


def csc() -> State:
    torch.manual_seed(0)
    network = SeparativeEncoder(CSC)
    network.memory.filled.fill_(2)
    weights = {f"encoder.{name}": weight for name, weight in network.state_dict().items()}
    model = {"_name": "csc", **asdict(CSC), "alpha": 12.0}
    task = {"_name": "csc_pretraining", "sample_rate": RATE}
    state = {"sample_rate": RATE, "identities": ["ann", "bob"], "identity_level": "speaker"}
    return written_by_fairseq(model, {**weights, "table.rows": torch.randn(2, 4)}, task, state)


def pretrained(kind: str) -> State:
    torch.manual_seed(0)
    options = network_options(kind, Entries(WAV2VEC, "test"))
    weights = build_network(options, RATE).state_dict()
    weights |= {"mask_emb": torch.zeros(4), "final_proj.weight": torch.zeros(2, 4)}
    task = {"_name": "pretraining", "sample_rate": RATE, "normalize": kind == "wav2vec2"}
    return written_by_fairseq(
        {**options, **WAV2VEC, **UNREAD_OPTIONS},
        weights,
        task,
        {"dictionaries": [targets()]} if kind == "hubert" else {},
    )


def with_args(state: State) -> State:
    """As fairseq wrote it before 2021: all options in one namespace."""
    model, task = state["cfg"]["model"], state["cfg"]["task"]
    options = {**task, **model, "arch": model["_name"], "task": task["_name"], "adam_betas": "(0.9, 0.98)"}
    del options["_name"]
    kept = ("model", "optimizer_history", "extra_state", "last_optimizer_state")
    return {"args": Namespace(**options), **{name: state[name] for name in kept}}


def backbone(kind: str) -> Backbone:
    torch.manual_seed(0)
    if kind == "csc":
        return CscBackbone(CSC, RATE)
    if kind == "xvector":
        return XVectorBackbone(RATE, WIDTHS)
    options = network_options(kind, Entries(WAV2VEC, "test"))
    return Wav2VecBackbone(build_network(options, RATE), options, RATE, normalize=True)


def fine_tuned(kind: str, pooling: str) -> State:
    encoder = backbone(kind)
    head = VerifierHead(encoder.layers, encoder.channels, encoder.embedding_channels, pooling, EMBEDDING)
    weights = {f"encoder.{name}": weight for name, weight in encoder.state_dict().items()} | head.state_dict()
    model = {"_name": "speaker_verifier", "pretrained": "/gone.pt", "pooling": pooling, "embedding_channels": EMBEDDING}
    state = {"sample_rate": RATE, "identities": ["ann", "bob"], "identity_level": "speaker"}
    state |= {"encoder_settings": encoder.settings, "pretraining_speakers": ["cid"]}
    return written_by_fairseq(model, weights, {"_name": "speaker_verification", "sample_rate": RATE}, state)


def targets() -> Dictionary:
    names = Dictionary()
    for symbol in "abc|":
        names.add_symbol(symbol)
    return names


def probe() -> State:
    encoder, symbols = backbone("csc"), targets()
    weights = {f"encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    weights |= CtcHead(encoder.layers, encoder.channels, len(symbols), 0).state_dict()
    state = {"target_dictionary": symbols, "encoder_settings": encoder.settings, "pretraining_speakers": ["cid"]}
    task = {"_name": "audio_finetuning", "labels": "ltr", "sample_rate": RATE, "normalize": False}
    return written_by_fairseq({"_name": "ctc_probe", "pretrained": "/gone.pt", "frozen": True}, weights, task, state)


def exported(state: State) -> State:
    """The bundle that `csc export` makes of it."""
    with TemporaryDirectory() as folder:
        save_bundle(model_of(Checkpoint("made", state)), Path(folder) / "bundle.pt")
        return torch.load(Path(folder) / "bundle.pt", weights_only=True)


KINDS: dict[str, Callable[[], State]] = {
    "csc": csc,
    "csc bundle": lambda: exported(csc()),
    "wav2vec2 cfg": lambda: pretrained("wav2vec2"),
    "wav2vec2 args": lambda: with_args(pretrained("wav2vec2")),
    "hubert cfg": lambda: pretrained("hubert"),
    "hubert args": lambda: with_args(pretrained("hubert")),
    "verifier of csc": lambda: fine_tuned("csc", "own"),
    "verifier of wav2vec2": lambda: fine_tuned("wav2vec2", "statistics"),
    "verifier of hubert": lambda: fine_tuned("hubert", "mean"),
    "verifier of xvector": lambda: fine_tuned("xvector", "attentive"),
    "verifier bundle": lambda: exported(fine_tuned("xvector", "attentive")),
    "probe": probe,
}


WEIGHTS = {kind: "state_dict" if "bundle" in kind else "model" for kind in KINDS}


@cache
def _good(kind: str) -> State:
    return KINDS[kind]()


def good(kind: str, weights: bool = True) -> State:
    """A new dictionary of a kind, or all of it but the weights, which is quicker made and read."""
    state = _good(kind)
    return deepcopy(state if weights else {**state, WEIGHTS[kind]: {}})


def file_bytes(state: Any, archive: bool = True) -> bytes:
    """The file that PyTorch makes of it. archive: in the present format, or in that before 1.6."""
    written = io.BytesIO()
    torch.save(state, written, _use_new_zipfile_serialization=archive)
    return written.getvalue()


def result(kind: str, path: str | Path) -> Tensor:
    """What the file gives for `WAVEFORM`: an embedding; of a probe, its logits."""
    if kind == "probe":
        reader = load_reader(path)
        with torch.no_grad():
            encoded = reader.backbone(WAVEFORM[None])
            return reader.head(encoded.layers, encoded.padding, encoded.estimates)
    return load_model(path).embed(WAVEFORM)


@cache
def right_result(kind: str) -> Tensor:
    with TemporaryDirectory() as folder:
        (Path(folder) / "good.pt").write_bytes(file_bytes(_good(kind)))
        return result(kind, Path(folder) / "good.pt")


def require_complaint(message: str, path: Path) -> None:
    """One line, which names the file, is short, and is not about memory: that was not asked for."""
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < LONGEST_COMPLAINT, message
    assert "MemoryError" not in message and "allocat" not in message, message


# Pickles by hand, for what PyTorch would not write.

PROTOCOL, STOP = b"\x80\x02", b"."


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def named(name: str) -> bytes:
    module, _, rest = name.rpartition(".")
    return f"c{module}\n{rest}\n".encode()


def called(name: str, *arguments: bytes) -> bytes:
    return named(name) + b"(" + b"".join(arguments) + b"tR"


def mapping(entries: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def storage(key: str, count: bytes, elements: str = "torch.FloatStorage", *, archive: bool) -> bytes:
    end = b"tQ" if archive else b"NtQ"
    return b"(" + text("storage") + named(elements) + text(key) + text("cpu") + count + end


def tensor(numbers: bytes, shape: Iterable[int], strides: Iterable[int], offset: int = 0) -> bytes:
    sizes = [b"(" + b"".join(map(whole, values)) + b"t" for values in (shape, strides)]
    return called(
        "torch._utils._rebuild_tensor_v2", numbers, whole(offset), *sizes, b"\x89", called("collections.OrderedDict")
    )


def archive_of(content: bytes, records: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with a pickle and storages."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        archive.writestr("archive/data.pkl", PROTOCOL + content + STOP)
        archive.writestr("archive/version", "3\n")
        for key, record in (records or {}).items():
            archive.writestr(f"archive/data/{key}", record)
    return written.getvalue()


def old_of(content: bytes, keys: Any = (), rest: bytes = b"") -> bytes:
    """A file in the format before 1.6. keys: of its storages. rest: the storages."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    first = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system))
    return first + PROTOCOL + content + STOP + pickle.dumps(list(keys), 2) + rest


@contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """At most so many bytes of address space more than now: who asks for more gets an error. On Linux; elsewhere any number."""
    if not Path("/proc/self/statm").exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
