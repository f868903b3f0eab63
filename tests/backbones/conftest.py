"""What every backbone must keep: one block a parameter, settings that rebuild it, finite frames of the sizes it names."""

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from csc_fairseq.backbones.backbone import Backbone, EncodedFrames
from csc_fairseq.backbones.loading import backbone_from_settings
from tests.making import syllables


@pytest.fixture
def waveforms() -> list[Tensor]:
    """Noises of different levels and lengths, the longest first, [T_i] each."""
    sizes = ((1.0, 6200), (5.0, 4100), (0.2, 2900))
    return [
        torch.from_numpy(np.float32(level) * syllables(samples, seed)) for seed, (level, samples) in enumerate(sizes)
    ]


@pytest.fixture
def padded(waveforms: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The waveforms as a batch with rubbish in the padding, and its padding mask."""
    batch = torch.full((3, 6200), 7.0)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return batch, torch.arange(6200) >= torch.tensor([[len(waveform)] for waveform in waveforms])


def require_same(found: EncodedFrames, expected: EncodedFrames, **tolerance: float) -> None:
    """That two answers agree; frames that are padded need not."""
    assert torch.equal(found.padding, expected.padding)
    valid = ~expected.padding
    for one, other in zip(
        found.layers.permute(1, 3, 0, 2, 4)[valid], expected.layers.permute(1, 3, 0, 2, 4)[valid], strict=True
    ):
        torch.testing.assert_close(one, other, **tolerance)
    for one, other in ((found.embeddings, expected.embeddings), (found.estimates, expected.estimates)):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **tolerance)


@pytest.fixture
def require_backbone(padded: tuple[Tensor, Tensor]) -> Callable[[Backbone], None]:
    """require_backbone(encoder): that it keeps what `Backbone` promises; puts it into evaluation mode."""

    @torch.no_grad()
    def check(encoder: Backbone) -> None:
        members = Counter(id(parameter) for block in encoder.blocks() for parameter in block.parameters())
        assert members == Counter(id(parameter) for parameter in encoder.parameters())

        source, mask = padded
        output = encoder.eval()(source, mask)
        layers, batch, streams, frames, channels = output.layers.shape
        assert (layers, batch, streams, channels) == (encoder.layers, 3, encoder.streams, encoder.channels)
        assert output.padding.shape == (3, frames) and output.padding.dtype == torch.bool
        assert not output.padding[0].any() and output.padding[2].any()
        valid = ~output.padding
        assert output.layers.permute(1, 3, 0, 2, 4)[valid].isfinite().all()
        if encoder.embedding_channels is None:
            assert output.embeddings is None
        else:
            assert output.embeddings.shape == (3, encoder.streams, encoder.embedding_channels)
            torch.testing.assert_close(output.embeddings.norm(dim=-1), torch.ones(3, encoder.streams))

        order = torch.tensor([2, 0, 1])
        turned = encoder(source[order], mask[order])
        require_same(
            turned,
            EncodedFrames(
                output.layers[:, order],
                output.padding[order],
                None if output.embeddings is None else output.embeddings[order],
                None if output.estimates is None else output.estimates[order],
            ),
            atol=1e-4,
            rtol=1e-4,
        )

        shortest = encoder(source[:1, : encoder.shortest])
        assert shortest.layers.shape[3] >= 1 and shortest.layers.isfinite().all()

        again = backbone_from_settings(json.loads(json.dumps(encoder.settings)))
        assert type(again) is type(encoder) and again.settings == encoder.settings
        assert again.training
        again.load_state_dict(encoder.state_dict())
        require_same(again.eval()(source, mask), output, atol=0, rtol=0)

    return check


@pytest.fixture
def require_padding_to_change_nothing(
    waveforms: list[Tensor], padded: tuple[Tensor, Tensor]
) -> Callable[[Backbone], None]:
    """require_padding_to_change_nothing(encoder): each waveform alone gives what it gives in the batch."""

    @torch.no_grad()
    def check(encoder: Backbone) -> None:
        together = encoder(*padded)
        for i, waveform in enumerate(waveforms):
            alone = encoder(waveform[None])
            frames = alone.padding.shape[1]
            assert not alone.padding.any() and together.padding[i].tolist() == [False] * frames + [True] * (
                together.padding.shape[1] - frames
            )
            torch.testing.assert_close(together.layers[:, i : i + 1, :, :frames], alone.layers, atol=1e-4, rtol=0)
            if alone.embeddings is not None:
                torch.testing.assert_close(together.embeddings[i : i + 1], alone.embeddings, atol=1e-4, rtol=0)
            if alone.estimates is not None:
                estimates = together.estimates[i : i + 1]
                torch.testing.assert_close(estimates[..., : len(waveform)], alone.estimates, atol=1e-4, rtol=0)

    return check
