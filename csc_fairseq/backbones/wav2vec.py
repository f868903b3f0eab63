"""wav2vec 2.0 and HuBERT of fairseq as backbones: the outputs of all transformer layers.

The networks are fairseq's; their checkpoints are read without it. Options come from a file, so they are taken from our own list of
fields, each checked. No text among them is evaluated.
"""

import ast
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.checkpoints.checkpoint import SAMPLE_RATES, Checkpoint
from csc_fairseq.checkpoints.entries import LARGEST, Entries
from csc_fairseq.checkpoints.weights import fitted, require_count
from csc_fairseq.errors import InputError

KINDS = ("wav2vec2", "hubert")
SAMPLE_RATE = 16000  # Hz, where a checkpoint does not tell it: fairseq's default
# Options of the network by kind of value, with fairseq's defaults. Options that serve pre-training alone are left out.
SIZES = {  # default, least, most
    "encoder_layers": (12, 1, 1000),
    "encoder_embed_dim": (768, 1, 2**16),
    "encoder_ffn_embed_dim": (3072, 1, LARGEST),
    "encoder_attention_heads": (12, 1, 2**16),
    "conv_pos": (128, 1, LARGEST),
    "conv_pos_groups": (16, 1, 2**16),
    "required_seq_len_multiple": (2, 1, 1000),
    "depthwise_conv_kernel_size": (31, 1, LARGEST),
}
SHARES = {
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "dropout_features": 0.0,
}
SWITCHES = {"layer_norm_first": False, "conv_bias": False, "checkpoint_activations": False, "fp16": False}
CHOICES = {  # the first is the default
    "extractor_mode": ("default", "layer_norm"),
    "activation_fn": (
        "gelu",
        "relu",
        "relu_squared",
        "gelu_fast",
        "gelu_accurate",
        "tanh",
        "linear",
    ),  # swish fails in fairseq
    "layer_type": ("transformer", "conformer"),
    "attn_type": ("", "espnet"),
    "pos_enc_type": ("abs",),
}
WAV2VEC2_SIZES = {"pos_conv_depth": (1, 1, 1000), "crop_seq_to_multiple": (1, 1, 1000)}
HUBERT_SWITCHES = {"conv_pos_batch_norm": False}
CONV_LAYERS = "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2"
MOST_CONV_LAYERS = 100
LONGEST_CONV_TEXT = 10_000
LARGEST_STRIDE = 2**16
COUNTED = {"encoder_layers": 10, "pos_conv_depth": 1}  # what counts blocks: with how many weights in each at least
# Parameters of masked prediction, which nothing else reads. `remove_pretraining_modules` takes out modules alone.
PRETRAINING_PARAMETERS = ("mask_emb", "label_embs_concat")
PRETRAINING_WEIGHTS = (*PRETRAINING_PARAMETERS, "quantizer.", "project_q.", "target_glu.", "final_proj.")
BETWEEN = 1  # the block between convolutions and layers


class Wav2VecBackbone(Backbone):
    """Transformer layers of wav2vec 2.0 or HuBERT: K layers from the lowest to the highest, C = 1, D = embedding size.

    The highest is the model's output, with the norm that models with layer_norm_first put after it.

    **Padding is handled as fairseq does it**: zeros, which are masked from the convolution of positions on. The group norm of
    the usual first layer takes its statistics over time, padding included, so frames of a padded waveform differ from those of
    the waveform alone, as they did in pre-training. Where that matters, put waveforms of one length into a batch. Models with
    extractor_mode=layer_norm give the same frames, but HuBERT's mask may take one frame too many for valid.

    Nothing is masked, no layer is dropped (so that there are always K, and a resumed training draws as an uninterrupted one
    would: fairseq draws the layers from a generator that no checkpoint holds), and gradients reach the convolutions unscaled
    (how fast they learn is for one setting to say). Dropout stays as pre-trained.

    Args:
        model: of `build_network`.
        options: what it was built from, with its kind under `_name`.
        sample_rate: Hz. normalize: scale each waveform to zero mean and unit variance, as the model was trained.
    """

    padding_matters = True

    model: Any  # fairseq's; torch knows the types of no submodule

    def __init__(self, model: Any, options: dict[str, Any], sample_rate: int, normalize: bool) -> None:
        super().__init__(
            sample_rate=sample_rate,
            streams=1,
            layers=len(model.encoder.layers),
            channels=model.encoder.embedding_dim,
            embedding_channels=None,
            shortest=shortest_input(model, options.get("crop_seq_to_multiple", 1)),
            settings={
                "kind": options["_name"],
                "sample_rate": sample_rate,
                "normalize": normalize,
                "model": options,
            },
        )
        self.normalize = normalize
        model.encoder.layerdrop = 0.0
        model.feature_grad_mult = 1.0
        self.model = model

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedFrames:
        """See `Backbone.forward` and the class."""
        if self.normalize:
            source = standardised(source, padding_mask)
        if padding_mask is not None:
            source = source.masked_fill(padding_mask, 0.0)
        outputs: list[Tensor] = []
        # HuBERT keeps its layers' outputs to itself; hence the hooks.
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
            for layer in self.model.encoder.layers
        ]
        try:
            last, padding = self._run(source, padding_mask)
        finally:
            for hook in hooks:
                hook.remove()
        frames = last.shape[1]  # inside, fairseq pads them to an even number
        layers = torch.stack([*(output[:frames].transpose(0, 1) for output in outputs[:-1]), last])
        if padding is None:
            padding = torch.zeros(last.shape[:2], dtype=torch.bool, device=last.device)
        return EncodedFrames(layers.unsqueeze(2), padding, None, None)

    def keep_layers(self, count: int) -> None:
        """Takes out all transformer layers above the lowest `count`. The norm after the highest goes with it.

        For use as it is: `settings` still describe the whole network.
        """
        encoder = self.model.encoder
        if count < self.layers and encoder.layer_norm_first:
            encoder.layer_norm = nn.Identity()
        encoder.layers = encoder.layers[:count]
        self.layers = count

    def _run(self, source: Tensor, padding_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The model's output (B, L, D), and its padding (B, L) or None."""
        if self.settings["kind"] == "hubert":
            return self.model.extract_features(source, padding_mask)
        output = self.model.extract_features(source, padding_mask)
        return output["x"], output["padding_mask"]

    def blocks(self) -> list[nn.Module]:
        """The convolutions; what leads from them to the transformer; each of its layers, the last with the norm after it."""
        encoder = self.model.encoder
        between = [
            module for name, module in self.model.named_children() if name not in ("feature_extractor", "encoder")
        ]
        between += [module for name, module in encoder.named_children() if name not in ("layers", "layer_norm")]
        *layers, last = encoder.layers
        if encoder.layer_norm_first:
            last = nn.ModuleList([last, encoder.layer_norm])
        else:
            between.append(encoder.layer_norm)
        return [self.model.feature_extractor, nn.ModuleList(between), *layers, last]

    def rest(self, count: int) -> None:
        """See `Backbone.rest`. The transformer itself drops out what its lowest layer gets, in no module of its own."""
        super().rest(count)
        if count > BETWEEN:
            self.model.encoder.training = False


def standardised(source: Tensor, padding_mask: Tensor | None) -> Tensor:
    """(B, T) waveforms, each scaled to zero mean and unit variance of its valid samples, as fairseq scales recordings."""
    valid = torch.ones_like(source, dtype=torch.bool) if padding_mask is None else ~padding_mask
    count = valid.sum(1, keepdim=True).clamp_min(1)
    samples = source.float()
    centred = samples - (samples * valid).sum(1, keepdim=True) / count
    variance = (centred.square() * valid).sum(1, keepdim=True) / count
    return (centred * torch.rsqrt(variance + 1e-5)).to(source.dtype)


def pretrained_wav2vec(checkpoint: Checkpoint) -> Wav2VecBackbone:
    """The backbone of a pre-training checkpoint of fairseq, with the options under `cfg` or, in an old one, under `args`.

    InputError: another architecture, an incomplete or damaged file, no fairseq.
    """
    checkpoint.require(*KINDS)
    options = network_options(checkpoint.architecture, checkpoint.options)
    task = checkpoint.task_options
    sample_rate = task.whole("sample_rate", *SAMPLE_RATES, default=SAMPLE_RATE)
    normalize = task.switch("normalize", default=False)
    for name, each in COUNTED.items():
        require_count(name, options.get(name, 1), checkpoint.weights, checkpoint.path, each)
    require_networks(checkpoint.path)
    network = fitted(
        lambda: build_network(options, sample_rate), checkpoint.weights, checkpoint.path, ignored=PRETRAINING_WEIGHTS
    )
    return Wav2VecBackbone(network, options, sample_rate, normalize)


def wav2vec_from_settings(settings: Entries) -> Wav2VecBackbone:
    """The backbone that `Wav2VecBackbone.settings` describes. InputError, which names the file, if they are damaged."""
    kind = settings.text("kind", KINDS)
    model = replace(settings.within("model"), kind="model setting")
    if model.get("_name") != kind:
        raise InputError(f"{settings.where}: its model is not of kind {kind!r}; it is damaged")
    options = network_options(kind, model)
    sample_rate = settings.whole("sample_rate", *SAMPLE_RATES)
    normalize = settings.switch("normalize")
    require_networks(settings.where)
    return Wav2VecBackbone(build_network(options, sample_rate), options, sample_rate, normalize)


def network_options(kind: str, options: Entries) -> dict[str, Any]:
    """The options that `build_network` reads, each checked, with their kind under `_name`. The others are left behind.

    InputError for values that cannot be, and for networks that this class does not know.
    """
    sizes = SIZES | (WAV2VEC2_SIZES if kind == "wav2vec2" else {})
    switches = SWITCHES | (HUBERT_SWITCHES if kind == "hubert" else {})
    if kind == "wav2vec2" and options.switch("quantize_input", default=False):
        raise InputError(
            f"{options.where}: its network quantizes its input, which is not supported; choose another checkpoint"
        )
    found = {name: options.whole(name, least, most, default=default) for name, (default, least, most) in sizes.items()}
    width, heads = found["encoder_embed_dim"], found["encoder_attention_heads"]
    if width % heads:
        raise options.unfit("encoder_attention_heads", heads, f"a divisor of {width}, the encoder_embed_dim")
    return {
        "_name": kind,
        "conv_feature_layers": str(conv_layers(options)),
        **found,
        **{name: options.number(name, 0, 1, default=default) for name, default in SHARES.items()},
        **{name: options.switch(name, default=default) for name, default in switches.items()},
        **{name: options.text(name, choices, default=choices[0]) for name, choices in CHOICES.items()},
    }


def conv_layers(options: Entries) -> list[tuple[int, ...]]:
    """The convolutional layers, (channels, kernel, stride) each, of a text such as `[(512, 10, 5)] + [(512, 3, 2)] * 4`.

    fairseq evaluates this text as Python. Here sums and multiples of lists of numbers are worked out, and nothing else.
    """
    text = options.text("conv_feature_layers", default=CONV_LAYERS)
    complaint = options.unfit("conv_feature_layers", text, "a list of (channels, kernel, stride), at most 100 of them")
    if len(text) > LONGEST_CONV_TEXT:
        raise complaint
    try:
        layers = _layer_list(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise complaint from error
    for layer in layers:
        if len(layer) != 3 or not all(type(number) is int and 1 <= number <= LARGEST for number in layer):
            raise complaint
        if layer[2] > LARGEST_STRIDE:
            raise complaint
    if not layers:
        raise complaint
    return layers


def _layer_list(node: ast.expr) -> list[tuple[int, ...]]:
    """ValueError for anything but lists, their sums and their multiples."""
    if isinstance(node, ast.List):
        layers = [ast.literal_eval(item) for item in node.elts]
        if not all(isinstance(layer, tuple) for layer in layers):
            raise ValueError("not a list of layers")
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        layers = _layer_list(node.left) + _layer_list(node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        times = ast.literal_eval(node.right)
        if type(times) is not int or not 0 <= times <= MOST_CONV_LAYERS:
            raise ValueError("not a multiple of a list")
        layers = _layer_list(node.left) * times
    else:
        raise ValueError("not a list")
    if len(layers) > MOST_CONV_LAYERS:
        raise ValueError("too many layers")
    return layers


def require_networks(where: str) -> None:
    """InputError without fairseq."""
    try:
        import fairseq.models.wav2vec  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{where}: the networks of wav2vec 2.0 and HuBERT are fairseq's, which is not installed; "
            "pip install 'csc-fairseq[train]'"
        ) from error


def build_network(options: Mapping[str, Any], sample_rate: int) -> nn.Module:
    """fairseq's network of `network_options`, with random weights and without what serves pre-training alone."""
    from fairseq.models.hubert import HubertConfig, HubertModel
    from fairseq.models.wav2vec import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config() if options["_name"] == "wav2vec2" else HubertConfig(label_rate=1.0)
    for name, value in options.items():
        if name != "_name":
            setattr(config, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairseq calls PyTorch's former weight norm
        if isinstance(config, Wav2Vec2Config):
            network = Wav2Vec2Model(config)
        else:
            # HuBERT asks its task for the rate, and for the labels of pre-training; there are none.
            network = HubertModel(config, SimpleNamespace(sample_rate=sample_rate), [None])
    network.remove_pretraining_modules()
    for name, _ in list(network.named_parameters(recurse=False)):
        if name in PRETRAINING_PARAMETERS:
            delattr(network, name)
    return network


def shortest_input(network: nn.Module, frames: int = 1) -> int:
    """Samples under so many frames of the convolutional layers."""
    samples = frames
    for block in reversed(network.feature_extractor.conv_layers):
        convolution = block[0]
        samples = (samples - 1) * convolution.stride[0] + convolution.kernel_size[0]
    return samples
