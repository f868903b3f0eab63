"""Files that were made to do harm: through every door one line, which names the file; nothing runs, nothing is allocated."""

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import csc_fairseq
from csc_fairseq.backbones.loading import pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.registry import read_source
from csc_fairseq.verification.evaluation.content import load_reader
from tests.checkpoints.making import (
    KINDS,
    WEIGHTS,
    State,
    archive_of,
    called,
    file_bytes,
    good,
    mapping,
    named,
    old_of,
    require_complaint,
    result,
    right_result,
    storage,
    tensor,
    text,
    whole,
)


def report(path: Path) -> None:
    """What `csc evaluate` asks of a checkpoint before it uses it."""
    source = read_source(str(path))
    assert source.description and source.speakers is not None and source.hides_speakers is not None


DOORS: dict[str, Callable[[Path], Any]] = {
    "load_model": csc_fairseq.load_model,
    "csc evaluate": lambda path: read_source(str(path)).encoder("cpu"),
    "report": report,
    "model.pretrained": lambda path: pretrained_backbone(read_checkpoint(path)),
    "csc content": load_reader,
}


def doors_of(kind: str) -> list[str]:
    """Where a good file of this kind goes through, apart from `report`."""
    if kind == "probe":
        return ["csc content"]
    return ["load_model", "csc evaluate", *([] if "verifier" in kind else ["model.pretrained"])]


def require_refused(door: str, path: Path) -> str:
    """The complaint."""
    with pytest.raises(InputError) as caught:
        DOORS[door](path)
    require_complaint(str(caught.value), path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pt"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a payload creates when it runs."""
    return tmp_path / "marker"


@pytest.mark.parametrize("kind", KINDS)
def test_good_files_pass(kind, path):
    """Otherwise nothing here would show anything."""
    for archive in (True, False):
        path.write_bytes(file_bytes(good(kind), archive))
        for door in doors_of(kind):
            DOORS[door](path)
        if kind != "probe":
            report(path)
        assert torch.equal(result(kind, path), right_result(kind))


# Pickles that would run code.


class Payload:
    """Creates a folder when it is unpickled, by its class's own way or by its state."""

    def __init__(self, marker: Path, way: str) -> None:
        self.marker, self.way = str(marker), way

    def __reduce__(self) -> tuple:
        if self.way == "call":
            return os.mkdir, (self.marker,)
        if self.way == "eval":
            return eval, (f"__import__('os').mkdir({self.marker!r})",)
        return type(self), (Path("/unused"), self.way), {"marker": self.marker}

    def __setstate__(self, state: dict[str, str]) -> None:
        os.mkdir(state["marker"])


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "old"])
@pytest.mark.parametrize("way", ["call", "eval", "state"])
def test_pickled_objects(way, archive, path, marker):
    state = good("csc")
    state["extra_state"]["payload"] = Payload(marker, way)
    path.write_bytes(file_bytes(state, archive))
    for door in DOORS:
        assert "could run code" in require_refused(door, path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # the trap is real


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_other_protocols(protocol, path, marker):
    written = io.BytesIO()
    torch.save({"model": Payload(marker, "call")}, written, pickle_protocol=protocol)
    path.write_bytes(written.getvalue())
    for door in DOORS:
        require_refused(door, path)
    assert not marker.exists()


def test_every_pickle_of_an_old_file(path, marker):
    """It begins with three, and ends with one."""
    evil = pickle.dumps(Payload(marker, "call"), 2)
    content = file_bytes(good("csc"), archive=False)
    places, rest = [0], io.BytesIO(content)
    for _ in range(3):
        pickle.load(rest)
        places.append(rest.tell())
    keys = content.rindex(b"\x80\x02]")  # the list of storages
    for place in (*places, keys):
        path.write_bytes(content[:place] + evil + content[place:])
        for door in DOORS:
            require_refused(door, path)
    assert not marker.exists()


SYSTEM = named("os.system") + text("touch MARKER")
OPERATIONS = {
    "REDUCE": named("os.system") + b"(" + text("touch MARKER") + b"tR",
    "REDUCE of a name that PyTorch knows": called("torch.hub.load", text("a/b"), text("c")),
    "REDUCE of torch.load": called("torch.load", text("MARKER")),
    "REDUCE of getattr": called("builtins.getattr", named("os.system"), text("__call__")),
    "NEWOBJ": named("subprocess.Popen") + b"(" + text("touch MARKER") + b"t\x81",
    "NEWOBJ of a namespace with arguments": named("argparse.Namespace") + text("a") + b"\x85\x81",
    "REDUCE of a namespace": called("argparse.Namespace"),
    "INST": b"(" + text("touch MARKER") + b"ios\nsystem\n",
    "OBJ": b"(" + SYSTEM + b"o",
    "STACK_GLOBAL": text("os") + text("system") + b"\x93(" + text("touch MARKER") + b"tR",
    "EXT1": b"\x82\x01",
    "BUILD of a tensor": tensor(storage("0", whole(1), archive=True), [1], [1]) + mapping({"data": b"N"}) + b"b",
    "BUILD of a list": b"]" + mapping({"a": b"N"}) + b"b",
    "REDUCE of an ordered dictionary with arguments": called("collections.OrderedDict", b"]"),
    "REDUCE of a reduced value": called("collections.OrderedDict") + b")R",
    "reference to a module": b"(" + text("module") + named("os.system") + text("a.py") + text("import os") + b"tQ",
    "reference to a view": b"("
    + text("storage")
    + named("torch.FloatStorage")
    + text("0")
    + text("cpu")
    + whole(1)
    + b")tQ",
    "reference by number": whole(0) + b"Q",
    "rebuilt from a type": called(
        "torch._tensor._rebuild_from_type_v2",
        named("os.system"),
        named("torch.Tensor"),
        b"(" + text("touch MARKER") + b"t",
        b"}",
    ),
    "function instead of a name": called("torch._utils._rebuild_tensor_v2", named("os.system"), *[b")"] * 5),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations(operation, path, marker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = mapping({"payload": OPERATIONS[operation].replace(b"touch MARKER", b"touch marker")})
    for written in (archive_of(content, {"0": b"\0\0\0\0"}), old_of(content, ["0"], b"\1" + b"\0" * 11)):
        path.write_bytes(written)
        for door in DOORS:
            require_refused(door, path)
    assert not marker.exists()


# Texts that would be evaluated or resolved.

EVALUATED = ("left_pad_source", "latent_temp", "adam_betas", "data", "labels", "w2v_path", "pretrained")
READ = {
    "_name", "arch", "conv_feature_layers", "extractor_mode", "activation_fn", "layer_type", "attn_type", "pos_enc_type", "memory",
    "pooling",
}  # fmt: skip


@pytest.fixture
def texts(marker, monkeypatch):
    """That create a folder, or tell what is no one's business, where they are evaluated or resolved."""
    monkeypatch.setenv("HOME", "/secret")
    OmegaConf.register_new_resolver("make_marker", os.mkdir)
    yield (
        f"__import__('os').mkdir({str(marker)!r})",
        f"${{make_marker:{marker}}}",
        "${oc.env:HOME}${env:HOME}${model.window}",
    )
    OmegaConf.clear_resolver("make_marker")


@pytest.mark.parametrize("kind", KINDS)
def test_texts(kind, texts, path, marker):
    """Where nobody reads them, the result is right. Where somebody does, one line."""
    state = good(kind)
    model = (
        vars(state["args"]) if state.get("args") else state["config"] if "config" in state else state["cfg"]["model"]
    )
    for section in (model, state.get("cfg", {}).get("task", {}), state.get("cfg", {}).get("common", {})):
        known = {name for name, value in section.items() if isinstance(value, str)}
        read = READ & known if section is model else set()
        for name in sorted(read):
            before = section[name]
            for door, payload in zip(doors_of(kind) * len(texts), texts, strict=False):
                section[name] = payload
                path.write_bytes(file_bytes(state))
                assert "/secret" not in require_refused(door, path)
            section[name] = before
        section.update(dict.fromkeys({*known, *EVALUATED} - read, "".join(texts)))
    path.write_bytes(file_bytes(state))
    assert torch.equal(result(kind, path), right_result(kind))
    for door in doors_of(kind):
        DOORS[door](path)
    assert not marker.exists()
    OmegaConf.to_container(OmegaConf.create({"a": texts[1]}), resolve=True)
    assert marker.exists()  # the trap is real


CONVOLUTIONS = (
    "__import__('os').abort()",
    "[(4, 10, 5)] + [__import__('os').abort()]",
    "[(4, 10, 5)] + exit()",
    "[(4, 10, 5) for _ in iter(int, 1)]",
    "9**9**9",
    "[(4, 10, 9**9**9)]",
    "[(8, 10, 5)] * 10**9",
    "[(8, 10, 5)] * 1000000000",
    "[(8, 10, 5)] * 100 * 100 * 100 * 100",
    "1000000000 * [(8, 10, 5)]",
    "[(8, 10, 5)] * -1",
    "[(8, 10, 5)] * True",
    "[] * 5",
    "[(8, 10)]",
    "[(8, 10, 5, 1)]",
    "[[8, 10, 5]]",
    "[(8, 10, 0)]",
    "[(8, -10, 5)]",
    "[(8, 10, 5.0)]",
    "[(8, True, 5)]",
    "[(8, 10, 2147483648)]",
    "[(8, 10, " + "9" * 5000 + ")]",
    "(" * 9000,
    "-" * 9000 + "1",
    "[" * 4000 + "]" * 4000,
    "[(8, 10, 5)]\\\n",
    "[(8, 10, '\\d')]",
    "[(8, 10, 5)]\0",
    "[(8, 10, ५)]",
    "\ud800",
    "x" * 10**6,
    "[(8, 10, 5)] + " * 700 + "[(8, 10, 5)]",
    "${env:HOME}",
    "",
    [(4, 10, 5)],
    3,
)


@pytest.mark.parametrize(
    "kind", ["wav2vec2 cfg", "wav2vec2 args", "hubert cfg", "verifier of wav2vec2", "verifier of hubert"]
)
def test_convolutions(kind, path):
    """fairseq evaluates this text."""
    doors = doors_of(kind)
    for number, value in enumerate(CONVOLUTIONS):
        state = good(kind)
        options_of(state)["conv_feature_layers"] = value
        path.write_bytes(file_bytes(state))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of some texts
            assert "conv_feature_layers" in require_refused(doors[number % len(doors)], path)


def options_of(state: State) -> dict[str, Any]:
    """The settings of the network, or, of what is fine-tuned, of its backbone."""
    for place in (state, state.get("task_state", {})):
        if "encoder_settings" in place:
            settings = place["encoder_settings"]
            return settings.get("model") or settings.get("network") or settings
    if "config" in state:
        return state["config"]
    return vars(state["args"]) if state.get("args") else state["cfg"]["model"]


# Second files.


@pytest.mark.parametrize("kind", KINDS)
def test_no_second_file(kind, path):
    """fairseq would look for the pieces of a model beside it."""
    state = good(kind)
    path.write_bytes(file_bytes(state))
    weights = state[WEIGHTS[kind]]
    for name in weights:
        if weights[name].is_floating_point():
            weights[name] = weights[name] + 1
    for suffix in ("-shard0", "-model_part-0", "-model_part-0-shard0", "_1"):
        path.with_name(f"x{suffix}.pt").write_bytes(file_bytes(state))
    assert torch.equal(result(kind, path), right_result(kind))
    path.unlink()
    for door in doors_of(kind):
        assert "no such file" in require_refused(door, path)


# Entries that are of another type, out of range, or contradict one another.

CFG = ("csc", "wav2vec2 cfg", "hubert cfg", "verifier of csc", "verifier of xvector", "probe")
ARGS = ("wav2vec2 args", "hubert args")
BUNDLES = ("csc bundle", "verifier bundle")
OURS = ("csc", "verifier of csc", "verifier of hubert")
TUNED = ("verifier of csc", "verifier of wav2vec2", "verifier of hubert", "verifier of xvector", "probe")
NO_TEXT = (3, 0, True, 1.5, ["csc"], ("csc",), {"csc": 1}, {"csc"}, b"csc", torch.zeros(3), Namespace(a=1), [[[[1]]]])
OTHER_TEXT = ("", "transformer", "CSC", "${env:HOME}", "x" * 10**6, "a\nb", "\x1b[2J\0", "\ud800", "a" * 10**5 + "\n")
NO_NUMBER = (
    None,
    True,
    "16000",
    "x",
    "nan",
    [16000],
    {},
    (),
    torch.tensor(16000),
    torch.zeros(2),
    Namespace(),
    10**400,
    -(10**400),
)
NO_WHOLE = (*NO_NUMBER, 16000.0, float("nan"), float("inf"), -1, 2**31, 10**12)
NO_SHARE = (*NO_NUMBER, float("nan"), float("inf"), -float("inf"), -0.1, 1.1, 1e308, 3)
NO_SWITCH = (0, 1, "true", "x", [True], torch.tensor(True))
NO_DICTIONARY = (3, "x", True, [], [3], (), torch.zeros(2), {1})
WIDTHS = ([2] * 4, [2] * 6, [2] * 10**5, [2, 2, 2, 2, 0], *([2, 2, 2, 2, value] for value in NO_WHOLE))
HISTORIES = (3, "x", {}, [3], [[]], [{}], *([{"num_updates": value}] for value in (*NO_NUMBER, -1, float("nan"), 1.0)))
NO_LIST_OF_TEXTS = (3, "ann", {"ann": 1}, [3], [None], [["ann"]], [b"ann"], torch.zeros(2), ["ann", 10**400])

# Kinds, place, values; what reads it if it is not what loading does.
CASES: list[tuple[tuple[str, ...], str, tuple[Any, ...], str]] = [
    # Which kind of file it is.
    (CFG, "cfg.model._name", (*NO_TEXT, *OTHER_TEXT, "speaker_verifier2"), "load"),
    (CFG, "cfg.model.arch", (*NO_TEXT, *OTHER_TEXT, "wav2vec_ctc"), "load"),
    (ARGS, "args.arch", (None, *NO_TEXT, *OTHER_TEXT, "wav2vec_ctc", "csc"), "load"),
    (ARGS, "args._name", (*NO_TEXT, *OTHER_TEXT, "csc"), "load"),
    (BUNDLES, "architecture", (*NO_TEXT, *OTHER_TEXT, "hubert"), "load"),
    (BUNDLES, "format", (None, *NO_TEXT, *OTHER_TEXT), "load"),
    (BUNDLES, "version", (*NO_WHOLE, 0, 3, 1.0), "load"),
    (BUNDLES, "cfg", ({}, 3, {"model": {"_name": "csc"}}), "load"),
    (BUNDLES, "args", (Namespace(arch="wav2vec2"), [], {}), "load"),
    (CFG, "format", ("csc-bundle", "x", 3, torch.zeros(2)), "load"),
    (CFG, "args", (Namespace(arch="wav2vec2"), {"arch": "hubert"}, 3, [], torch.zeros(2)), "load"),
    (ARGS, "cfg", ({"model": {"_name": "wav2vec2"}}, {}, 3), "load"),
    (ARGS, "format", ("csc-bundle",), "load"),
    # Parts of it.
    (CFG, "cfg", (None, {}, {"model": None}, {"model": 3}, *NO_DICTIONARY), "load"),
    (ARGS, "args", (None, *NO_DICTIONARY, {}, Namespace()), "load"),
    ((*CFG, *ARGS), "model", (None, {}, *NO_DICTIONARY, Namespace()), "load"),
    (BUNDLES, "state_dict", (None, {}, *NO_DICTIONARY), "load"),
    (BUNDLES, "config", (None, {}, *NO_DICTIONARY), "load"),
    (("csc", *TUNED), "task_state", (None, {}, *NO_DICTIONARY), "load"),
    (OURS, "task_state", NO_DICTIONARY, "report"),
    (("wav2vec2 cfg", "hubert cfg"), "cfg.task", (None, *NO_DICTIONARY), "load"),
    (TUNED, "task_state.encoder_settings", (None, {}, *NO_DICTIONARY), "load"),
    (("verifier bundle",), "encoder_settings", (None, {}, *NO_DICTIONARY), "load"),
    # What was trained, and on what.
    (("csc", *TUNED[:-1]), "task_state.sample_rate", (*NO_WHOLE[1:], 999, 768_001), "load"),
    (BUNDLES, "sample_rate", (*NO_WHOLE[1:], 999, 768_001), "load"),
    (TUNED, "task_state.encoder_settings.sample_rate", (*NO_WHOLE, 999, 768_001), "load"),
    (("verifier bundle",), "encoder_settings.sample_rate", (*NO_WHOLE, 999, 768_001, 8000), "load"),
    (("verifier of csc",), "task_state.sample_rate", (8000,), "load"),
    (("wav2vec2 cfg", "hubert cfg"), "cfg.task.sample_rate", (*NO_WHOLE[1:], 999, 768_001), "load"),
    (("wav2vec2 cfg", "hubert cfg"), "cfg.task.normalize", NO_SWITCH, "load"),
    (ARGS, "args.sample_rate", (*NO_WHOLE[1:], 999, 768_001), "load"),
    (ARGS, "args.normalize", NO_SWITCH, "load"),
    (OURS, "task_state.identity_level", (*NO_TEXT, *OTHER_TEXT), "report"),
    (("csc",), "task_state.identity_level", (None, *NO_TEXT, *OTHER_TEXT), "load"),
    (BUNDLES, "identity_level", (*NO_TEXT, *OTHER_TEXT), "report"),
    (OURS, "task_state.identities", (None, *NO_LIST_OF_TEXTS), "report"),
    (OURS[1:], "task_state.pretraining_speakers", NO_LIST_OF_TEXTS, "report"),
    (("csc", *ARGS, "verifier of csc"), "optimizer_history", (*HISTORIES, torch.zeros(2)), "report"),
    (("csc", "hubert cfg", *ARGS), "extra_state", NO_DICTIONARY, "report"),
    (
        ("csc", "wav2vec2 args"),
        "extra_state.previous_training_time",
        (*NO_NUMBER[1:], -1, -0.1, float("nan"), float("inf"), -float("inf"), 1e11),
        "report",
    ),
    (
        ("probe",),
        "task_state.target_dictionary",
        (None, *NO_DICTIONARY, {}, "x", Namespace(), Namespace(symbols=3)),
        "load",
    ),
    # What is fine-tuned.
    (TUNED, "task_state.encoder_settings.kind", (None, *NO_TEXT, *OTHER_TEXT, "csc2"), "load"),
    (TUNED[1:3], "task_state.encoder_settings.normalize", (None, *NO_SWITCH), "load"),
    (TUNED[1:3], "task_state.encoder_settings.model", (None, {}, *NO_DICTIONARY), "load"),
    (TUNED[1:3], "task_state.encoder_settings.model._name", (None, *NO_TEXT, *OTHER_TEXT), "load"),
    (TUNED[:1], "task_state.encoder_settings.network", (None, {}, *NO_DICTIONARY), "load"),
    (("verifier of xvector",), "task_state.encoder_settings.widths", (None, *NO_DICTIONARY, *WIDTHS), "load"),
    (TUNED[:-1], "cfg.model.pooling", (None, *NO_TEXT, *OTHER_TEXT), "load"),
    (("verifier of xvector",), "cfg.model.pooling", ("own",), "load"),
    (TUNED[:-1], "cfg.model.embedding_channels", (*NO_WHOLE, 0, 4, 10**9), "load"),
]


def put(state: State, place: str, value: Any) -> None:
    """The value at a place such as cfg.model._name; a namespace is told by its attributes."""
    holder: Any = state
    *names, last = place.split(".")
    for name in names:
        holder = vars(holder[name]) if isinstance(holder[name], Namespace) else holder[name]
    holder[last] = value


@pytest.mark.parametrize(
    ("kinds", "place", "values", "reader"), CASES, ids=[f"{place} {kinds[0]}" for kinds, place, *_ in CASES]
)
def test_entries(kinds, place, values, reader, path):
    """All kinds in turn, and all doors."""
    doors = {kind: [reader] if reader == "report" else doors_of(kind) for kind in kinds}
    if place.endswith("identity_level") and reader == "load":
        doors = {kind: ["load_model"] for kind in kinds}
    turns = [(kind, door) for kind in kinds for door in doors[kind]]
    for number in range(max(len(values), len(turns))):
        kind, door = turns[number % len(turns)]
        state = good(kind, weights=reader != "report")
        put(state, place, values[number % len(values)])
        path.write_bytes(file_bytes(state))
        require_refused(door, path)


SETTINGS = {
    "csc": ("sources", "waveform_channels", "window", "channels", "segment_frames", "segment_summaries", "recurrent_channels",
            "attention_heads", "shared_blocks", "separation_blocks", "speaker_blocks", "stream_channels", "embedding_channels",
            "memory_size", "memory_heads"),
    "wav2vec2": ("encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim", "encoder_attention_heads", "conv_pos",
                 "conv_pos_groups", "required_seq_len_multiple", "depthwise_conv_kernel_size", "pos_conv_depth",
                 "crop_seq_to_multiple"),
}  # fmt: skip
SHARES = {"csc": ("memory_drop",), "wav2vec2": ("dropout", "attention_dropout", "activation_dropout", "dropout_input")}
SWITCHES = {
    "csc": (),
    "wav2vec2": ("layer_norm_first", "conv_bias", "checkpoint_activations", "fp16", "quantize_input"),
}
CHOICES = {
    "csc": ("memory",),
    "wav2vec2": ("extractor_mode", "activation_fn", "layer_type", "attn_type", "pos_enc_type"),
}


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("csc", "csc"),
        ("csc", "csc bundle"),
        ("csc", "verifier of csc"),
        ("csc", "probe"),
        ("wav2vec2", "wav2vec2 cfg"),
        ("wav2vec2", "wav2vec2 args"),
        ("wav2vec2", "verifier of wav2vec2"),
    ],
)
def test_settings_of_networks(family, kind, path):
    doors = doors_of(kind)
    # In options of fairseq, None is a default.
    first = 0 if family == "csc" else 1
    cases = [(name, value) for name in SETTINGS[family] for value in NO_WHOLE[first:]]
    cases += [(name, value) for name in SHARES[family] for value in NO_SHARE[first:]]
    cases += [(name, value) for name in SWITCHES[family] for value in NO_SWITCH]
    cases += [(name, value) for name in CHOICES[family] for value in (*NO_TEXT, *OTHER_TEXT[2:])]
    if kind not in ("csc", "wav2vec2 cfg"):  # others go the same way
        cases = cases[::7]
    for number, (name, value) in enumerate(cases):
        state = good(kind, weights=kind in TUNED)  # others are asked for their weights later
        options_of(state)[name] = value
        path.write_bytes(file_bytes(state))
        assert name in require_refused(doors[number % len(doors)], path)


@pytest.mark.parametrize("kind", KINDS)
def test_weights(kind, path):
    """One that is none, or not of finite numbers, or of another shape or type; one too many, or too few."""
    entry = WEIGHTS[kind]
    name = next(name for name, weight in good(kind)[entry].items() if weight.ndim == 2 and "final_proj" not in name)
    shape = good(kind)[entry][name].shape
    changed: list[dict[Any, Any]] = [
        *({name: value} for value in (None, 3, 0.5, "x", [[0.5]], {}, Namespace(), b"x", [torch.zeros(shape)])),
        *({name: torch.full(shape, number)} for number in (float("nan"), float("inf"), -float("inf"))),
        *({name: torch.zeros(shape, dtype=kind)} for kind in (torch.complex64, torch.int64, torch.bool, torch.uint8)),
        *(
            {name: torch.zeros(other)}
            for other in ((), (0,), (*shape, 1), (shape[0] + 1, shape[1]), shape[1:], (1,) * 16)
        ),
        {name: torch.zeros(1).expand(shape)},
        {name: torch.zeros(1).expand(10**9, 10**9)},
        {name: torch.zeros(shape).to_sparse()},
        {name: torch.zeros(shape, device="meta")},
        {name: torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8)},
        {name: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])},
        {name: torch.zeros(shape).as_subclass(torch.nn.Parameter).to(torch.complex128)},
        *({other: torch.zeros(2)} for other in (3, None, ("a", "b"), True, 0.5, b"x", frozenset())),
        *(
            {f"encoder.{other}": torch.zeros(2)}
            for other in ("", "x", "x" * 10**6, "a\nb", "\x1b[2J\0", "\ud800", "${env:HOME}")
        ),
    ]
    if kind not in ("csc", "wav2vec2 cfg"):  # others go the same way
        changed = changed[list(KINDS).index(kind) % 3 :: 3]
    doors = doors_of(kind)
    for number, change in enumerate([*changed, None]):
        state = good(kind)
        if change is None:
            del state[entry][name]
        else:
            state[entry] |= change
        path.write_bytes(file_bytes(state, archive=number % 2 == 0))
        require_refused(doors[number % len(doors)], path)


def test_weights_that_share_their_numbers(path):
    """Tied ones do. But a small file could so fill any memory."""
    state = good("csc")
    network = {name: weight for name, weight in state["model"].items() if weight.is_floating_point()}
    numbers = torch.zeros(max(weight.numel() for weight in network.values()))
    state["model"] |= {name: numbers[: weight.numel()].view(weight.shape) for name, weight in network.items()}
    path.write_bytes(file_bytes(state))
    assert "times as large as the numbers that they share" in require_refused("load_model", path)


# Files that are damaged on purpose.


def archived(kind: str, change: Callable[[dict[str, bytes]], Any]) -> bytes:
    """The archive of a good file with other records."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file_bytes(good(kind)))) as archive:
        records = {f"archive/{name.partition('/')[2]}": archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(written, "w") as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    return written.getvalue()


def test_archives(path, marker):
    """Second pickles, storages that lack or are of another size, other code."""
    whole_file = archived("csc", lambda records: None)
    path.write_bytes(whole_file)
    assert torch.equal(result("csc", path), right_result("csc"))
    changes: list[Callable[[dict[str, bytes]], Any]] = [
        lambda records: records.pop("archive/data.pkl"),
        lambda records: records.update({"other/data.pkl": records["archive/data.pkl"]}),
        lambda records: records.pop("archive/data/0"),
        lambda records: records.update({"archive/data/0": b""}),
        lambda records: records.update({"archive/data/0": records["archive/data/0"] + b"\0\0\0\0"}),
        lambda records: records.update({"archive/data/0": records["archive/data/0"][:-1]}),
        lambda records: records.update({"archive/data.pkl": pickle.dumps(Payload(marker, "call"), 2)}),
        lambda records: records.update({"archive/data.pkl": records["archive/data.pkl"][:-1]}),
        lambda records: records.update({"archive/data.pkl": b""}),
        lambda records: records.update({"archive/byteorder": b"big"}),
        lambda records: records.clear(),
    ]
    for change in changes:
        path.write_bytes(archived("csc", change))
        for door in DOORS:
            require_refused(door, path)
    assert not marker.exists()


def test_checksums_of_all_records(path):
    content = file_bytes(good("csc"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = archive.infolist()
    assert len(records) > 100
    for number, record in enumerate(records):
        if not record.file_size:
            continue
        damaged = bytearray(content)
        start = record.header_offset + 30 + int.from_bytes(content[record.header_offset + 26 :][:2], "little")
        start += int.from_bytes(content[record.header_offset + 28 :][:2], "little")
        damaged[start + number % record.file_size] ^= 1 << number % 8
        path.write_bytes(damaged)
        assert "CRC" in require_refused(list(DOORS)[number % len(DOORS)], path)


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "old"])
def test_cut_files(archive, path):
    content = file_bytes(good("verifier of xvector"), archive)
    for number in range(120):
        path.write_bytes(content[: len(content) * number // 120])
        require_refused(list(DOORS)[number % len(DOORS)], path)


def with_headers(content: bytes, **fields: int) -> bytes:
    """The archive with other fields in both headers of its record data/0."""
    changed = bytearray(content)
    places = {"flags": (6, 2), "method": (8, 2), "compressed": (18, 4), "size": (22, 4)}
    start, listed = content.index(b"archive/data/0") - 30, content.rindex(b"archive/data/0") - 46
    assert changed[start : start + 4] == b"PK\3\4" and changed[listed : listed + 4] == b"PK\1\2"
    for name, value in fields.items():
        place, size = places[name]
        for header in (start + place, listed + place + 2):
            changed[header : header + size] = value.to_bytes(size, "little")
    return bytes(changed)


def test_headers_of_archives(path):
    """Encrypted, compressed, longer or shorter than it is, at the place of another record, of the same name as another."""
    content = archived("csc", lambda records: None)
    listed = content.rindex(b"archive/data/0") - 46
    elsewhere = content[: listed + 42] + content[listed + 42 + 46 + 14 :][:4] + content[listed + 46 :]
    for damaged in (
        with_headers(content, flags=1),
        with_headers(content, method=zipfile.ZIP_DEFLATED),
        with_headers(content, method=zipfile.ZIP_LZMA),
        with_headers(content, method=99),
        with_headers(content, size=1),
        with_headers(content, compressed=1),
        with_headers(content, size=10**6, compressed=10**6),
        with_headers(content, size=2**32 - 1, compressed=2**32 - 1),
        elsewhere,
        content.replace(b"archive/data/1", b"archive/data/0"),
    ):
        path.write_bytes(damaged)
        for door in DOORS:
            require_refused(door, path)


def test_archives_in_archives(path):
    """Whoever reads from the beginning, and whoever reads from the end, would see two files."""
    one, other = file_bytes(good("csc")), file_bytes(good("wav2vec2 cfg"))
    path.write_bytes(one + other)
    assert torch.equal(result("wav2vec2 cfg", path), right_result("wav2vec2 cfg"))  # as a zip archive says: the last


# Files that claim what they do not hold.

HUGE = 2 * 10**9


def lies() -> dict[str, bytes]:
    """By door and name. Each would take gigabytes, or for ever."""
    found: dict[str, bytes] = {}

    def lie(name: str, content: bytes, *doors: str) -> None:
        found.update({f"{door},{name}": content for door in doors or ("load_model",)})

    # Settings against weights.
    for family, kind in (
        ("csc", "csc"),
        ("csc", "probe"),
        ("wav2vec2", "wav2vec2 cfg"),
        ("wav2vec2", "verifier of wav2vec2"),
    ):
        # But for those on which no weight depends.
        for name in set(SETTINGS[family]) - {"depthwise_conv_kernel_size", "memory_size", "memory_heads"}:
            for value in (1002, 10**6, 10**9, 2**31 - 2):
                state = good(kind)
                options_of(state)[name] = value
                lie(f"{kind} {name} {value}", file_bytes(state), doors_of(kind)[0])
        state = good(kind)
        if family == "wav2vec2":
            options_of(state)["conv_feature_layers"] = "[(4, 10, 5), (4, 2147483647, 4), (4, 4, 4)]"
            lie(f"{kind} kernel", file_bytes(state), doors_of(kind)[0])
    for count in (10**6, 10**9, 2**31 - 1):
        state = good("verifier of xvector")
        put(state, "cfg.model.embedding_channels", count)
        lie(f"embedding {count}", file_bytes(state), "load_model", "csc evaluate")
        state = good("verifier of xvector")
        put(state, "task_state.encoder_settings.widths", [count] * 5)
        lie(f"widths {count}", file_bytes(state), "load_model", "csc evaluate")

    # Settings and weights together against the file.
    state = good("csc")
    options_of(state)["window"] = HUGE
    for name in ("encoder.encoder.filters.weight", "encoder.decoder.filters.weight"):
        state["model"][name] = torch.zeros(1).expand(4, 1, HUGE)
    lie("expanded", file_bytes(state), *doors_of("csc"))
    state = good("csc")
    options_of(state)["shared_blocks"] = 10**5
    for number in range(10**5):
        state["model"][f"encoder.trunk.{number}.x"] = state["model"]["encoder.bottleneck.bias"]
    lie("blocks", file_bytes(state))

    # Pickles.
    floats = storage("0", whole(HUGE), archive=True)
    lines = {
        "tensor by its size": called("torch.FloatTensor", whole(HUGE)),
        "bytes by their size": called("builtins.bytearray", whole(HUGE)),
        "counts": called("collections.Counter", called("builtins.bytearray", whole(HUGE))),
        "set": called("builtins.set", called("builtins.bytearray", whole(HUGE))),
        "slow encoding": called("_codecs.encode", text("ü" * 10**6), text("punycode")),
        "shape": tensor(storage("0", whole(1), archive=True), [HUGE], [1]),
        "stride": tensor(storage("0", whole(1), archive=True), [2], [HUGE]),
        "offset": tensor(storage("0", whole(1), archive=True), [1], [1], HUGE),
        "storage": tensor(floats, [HUGE], [1]),
        "storage of 10**12": tensor(storage("0", b"\x8a\x06" + (10**12).to_bytes(6, "little"), archive=True), [1], [1]),
        "storage of fewer than none": tensor(storage("0", whole(-1), archive=True), [1], [1]),
        "text": b"X\xff\xff\xff\xffabc",
        "number": b"\x8b\xff\xff\xff\x7fabc",
        "bytes": b"\x8e" + (2**40).to_bytes(8, "little"),
        "memo": b"Nr\xff\xff\xff\xff",
        "frame": b"\x95" + (2**40).to_bytes(8, "little"),
    }
    for name, line in lines.items():
        weights = mapping({"cfg": mapping({"model": mapping({"_name": text("csc")})}), "model": mapping({"w": line})})
        lie(f"archive with {name}", archive_of(weights, {"0": b"\0\0\0\0"}), "load_model", "csc content")
    for name, line in lines.items():
        line = line.replace(b"tQ", b"NtQ")
        weights = mapping({"cfg": mapping({"model": mapping({"_name": text("csc")})}), "model": mapping({"w": line})})
        for keys, rest in (([], b""), (["0"], b"\1" + b"\0" * 11), (["0"], HUGE.to_bytes(8, "little") + b"\0" * 4)):
            lie(f"old file with {name}, {keys} {rest[:1]!r}", old_of(weights, keys, rest), "load_model", "csc content")
    rows = [f"{number}" for number in range(2000)]
    copies = b"".join((b"}q\0(", *(text(row) + b"N" for row in rows), b"u0")) + b"]("
    lie(
        "copies",
        archive_of(copies.replace(b"u0", b"u") + (named("collections.OrderedDict") + b"h\0\x85R") * 10**5 + b"e"),
    )
    lie("nested keys", archive_of(b"})" + b"\x85" * 300_000 + b"Ns"))
    lie("nested lists", archive_of(mapping({"cfg": b"]" * 300_000 + b"a" * 299_999, "model": b"}"})))
    laugh: Any = "ha"
    for _ in range(100):
        laugh = [laugh, laugh]
    for value in (laugh, Namespace(laugh=laugh), {"laugh": laugh}, (laugh, laugh)):
        state = good("csc")
        put(state, "task_state.sample_rate", value)
        put(state, "optimizer_history", value)
        put(state, "cfg.model.window", value)
        lie(f"laughs {type(value).__name__}", file_bytes(state), "load_model", "report")
    state = good("csc")
    put(state, "cfg.model.window", 10**5000)
    lie("10**5000", file_bytes(state), *DOORS)
    state = good("csc")
    state["cfg"]["model"]["model"] = state["model"]["self"] = state["self"] = state
    lie("itself", file_bytes(state), "load_model")

    # Archives.
    lie("bomb", archive_of(mapping({}), {"0": bytes(10**8)}, zipfile.ZIP_DEFLATED), "load_model", "csc content")
    for fields in (("size",), ("compressed",), ("size", "compressed")):
        content = archive_of(mapping({"model": tensor(floats, [HUGE], [1])}), {"0": b"\0\0\0\0"})
        lie(f"record by its {fields}", with_headers(content, **dict.fromkeys(fields, 2**32 - 16)))
    return found


CHILD = """
import json, logging, resource, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
import torch
torch.set_num_threads(1)
from csc_fairseq.errors import InputError
from tests.checkpoints.making import KINDS, limited_memory, right_result
from tests.checkpoints.test_payloads import DOORS

for kind in KINDS:
    right_result(kind)
spent = resource.getrusage(resource.RUSAGE_SELF)
seconds = int(spent.ru_utime + spent.ru_stime) + 1
# Whoever takes for ever is killed by the system, however slow the machine.
resource.setrlimit(resource.RLIMIT_CPU, (seconds + int(sys.argv[2]), seconds + int(sys.argv[2])))
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(path.name, flush=True)
    message = None
    try:
        with limited_memory(2**29):
            DOORS[path.name.split(",")[0]](path)
    except InputError as error:
        message = str(error)
    print(json.dumps([message, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]), flush=True)
"""


@pytest.mark.slow  # half a minute of files, each read by every door
def test_lies(tmp_path):
    """In a process whose memory and work are bounded by the system."""
    for name, content in lies().items():
        (tmp_path / f"{name.replace('/', ' ')}.pt").write_bytes(content)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "120"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    lines = child.stdout.splitlines()
    assert child.returncode == 0, (lines[-1:], child.stderr[-2000:])
    found = [(name, *json.loads(line)) for name, line in zip(lines[::2], lines[1::2], strict=True)]
    assert [name for name, message, _ in found if message is None] == []
    for name, message, kilobytes in found:
        require_complaint(message, tmp_path / name)
        assert kilobytes < 100_000, (name, kilobytes)
