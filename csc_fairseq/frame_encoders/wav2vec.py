"""wav2vec 2.0 and HuBERT of fairseq as frame encoders: the outputs of all transformer layers."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.frame_encoders.protocol import EncodedFrames, FrameEncoder
from csc_fairseq.inference.checkpoint import entry, one_line
from csc_fairseq.inference.wav2vec import UNBUILDABLE, load_pretrained, require_plain_layers, shortest_input

# Parameters of masked prediction, which nothing else reads. `remove_pretraining_modules` takes out modules alone.
PRETRAINING_PARAMETERS = ("mask_emb", "label_embs_concat")
BETWEEN = 1  # the block between convolutions and layers


class Wav2VecFrames(FrameEncoder):
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
        model: fairseq's model; what served pre-training alone is removed from it.
        options: of the model, complete, with its name under `_name`.
        sample_rate: Hz. normalize: scale each waveform to zero mean and unit variance, as the model was trained.
    """

    def __init__(self, model: nn.Module, options: dict[str, Any], sample_rate: int, normalize: bool) -> None:
        super().__init__(
            sample_rate=sample_rate,
            streams=1,
            layers=len(model.encoder.layers),
            channels=model.encoder.embedding_dim,
            embedding_channels=None,
            shortest=shortest_input(model),
            settings={
                "kind": options["_name"],
                "sample_rate": sample_rate,
                "normalize": normalize,
                "model": options,
            },
        )
        self.normalize = normalize
        model.remove_pretraining_modules()
        for name, _ in list(model.named_parameters(recurse=False)):
            if name in PRETRAINING_PARAMETERS:
                delattr(model, name)
        model.encoder.layerdrop = 0.0
        model.feature_grad_mult = 1.0
        self.model = model

    def forward(self, source: Tensor, padding_mask: Tensor | None = None) -> EncodedFrames:
        """See `FrameEncoder.forward` and the class."""
        if padding_mask is None:
            padding_mask = torch.zeros_like(source, dtype=torch.bool)
        if self.normalize:
            source = standardised(source, padding_mask)
        outputs: list[Tensor] = []
        # HuBERT keeps its layers' outputs to itself; hence the hooks.
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
            for layer in self.model.encoder.layers
        ]
        try:
            last, padding = self._run(source.masked_fill(padding_mask, 0.0), padding_mask)
        finally:
            for hook in hooks:
                hook.remove()
        frames = last.shape[1]  # inside, fairseq pads them to an even number
        layers = torch.stack([*(output[:frames].transpose(0, 1) for output in outputs[:-1]), last])
        if padding is None:
            padding = torch.zeros(last.shape[:2], dtype=torch.bool, device=last.device)
        return EncodedFrames(layers.unsqueeze(2), padding, None, None)

    def _run(self, source: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor | None]:
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
        """See `FrameEncoder.rest`. The transformer itself drops out what its lowest layer gets, in no module of its own."""
        super().rest(count)
        if count > BETWEEN:
            self.model.encoder.training = False


def standardised(source: Tensor, padding_mask: Tensor) -> Tensor:
    """(B, T) waveforms, each scaled to zero mean and unit variance of its valid samples, as fairseq scales recordings."""
    valid = ~padding_mask
    count = valid.sum(1, keepdim=True).clamp_min(1)
    samples = source.float()
    centred = samples - (samples * valid).sum(1, keepdim=True) / count
    variance = (centred.square() * valid).sum(1, keepdim=True) / count
    return (centred * torch.rsqrt(variance + 1e-5)).to(source.dtype)


def pretrained_wav2vec(path: str | Path) -> Wav2VecFrames:
    """The encoder of a pre-training checkpoint of fairseq. InputError for what `load_pretrained` refuses."""
    model, options, task = load_pretrained(path)
    return Wav2VecFrames(model, options, int(task.sample_rate), bool(task.normalize))


def wav2vec_from_settings(settings: dict[str, Any], where: str | Path) -> Wav2VecFrames:
    """The encoder that `Wav2VecFrames.settings` describes. InputError, which names `where`, if they are incomplete or damaged."""
    options, sample_rate = entry(settings, "model", where), entry(settings, "sample_rate", where)
    normalize = entry(settings, "normalize", where)
    if not isinstance(options, dict) or options.get("_name") != settings["kind"]:
        raise InputError(f"{where}: its model is not of kind {settings['kind']!r}; it is damaged")
    require_plain_layers(options, where)

    from fairseq.models import build_model
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # HuBERT asks its task for the rate, and for the labels of pre-training, of which there are none.
    task = SimpleNamespace(cfg=SimpleNamespace(sample_rate=sample_rate), dictionaries=[None])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fairseq calls PyTorch's former weight norm
            model = build_model(OmegaConf.create(options), task, from_checkpoint=True)
    except (*UNBUILDABLE, HydraException, OmegaConfBaseException) as error:
        reason = one_line(error)
        raise InputError(f"{where}: fairseq cannot build its model ({reason}); it is damaged or incomplete") from error
    return Wav2VecFrames(model, options, sample_rate, normalize)
