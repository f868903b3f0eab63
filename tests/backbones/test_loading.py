"""What can be loaded is told apart by itself; what cannot be is named in one line."""

import pytest
import torch

from csc_fairseq.backbones.loading import backbone_from_settings, pretrained_backbone
from csc_fairseq.checkpoints.checkpoint import read_checkpoint
from csc_fairseq.errors import InputError
from tests.making import make_wav2vec, save_args, save_cfg


def test_other_architectures_are_named(tmp_path):
    model, options = make_wav2vec()
    for path in (
        save_cfg(tmp_path / "ctc.pt", model, options, "wav2vec_ctc"),
        save_args(tmp_path / "ctc_args.pt", model, options, arch="wav2vec_ctc"),
    ):
        expected = (
            "is a checkpoint of architecture 'wav2vec_ctc', expected a checkpoint of csc or wav2vec2 or hubert; give"
        )
        with pytest.raises(InputError, match=f"{path.name}: {expected}"):
            pretrained_backbone(read_checkpoint(path))


def test_files_that_are_no_checkpoint(tmp_path):
    path = save_cfg(tmp_path / "w2v.pt", *make_wav2vec())
    whole = path.read_bytes()
    torch.save({"weights": torch.zeros(2), "epoch": 3}, tmp_path / "other.pt")
    (tmp_path / "part.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("hello\n")
    state = torch.load(path, weights_only=False)
    state["model"].pop("encoder.layers.0.fc1.weight")
    torch.save(state, tmp_path / "lacking.pt")
    for name, message in (
        ("absent.pt", "no such file"),
        ("other.pt", "holds weights, epoch, expected a checkpoint of csc or wav2vec2 or hubert"),
        ("part.pt", "is damaged or no checkpoint"),
        ("text.pt", "is damaged or no checkpoint"),
        ("lacking.pt", "lacks weights, 1 in all, the first is encoder.layers.0.fc1.weight"),
    ):
        with pytest.raises(InputError, match=f"{name}: {message}") as caught:
            pretrained_backbone(read_checkpoint(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "lacks the entry 'kind'"),
        ({"kind": "ecapa"}, "its entry kind is 'ecapa', expected one of csc, wav2vec2, hubert, xvector"),
        ({"kind": "xvector", "sample_rate": 16000}, "lacks the entry 'widths'"),
        ({"kind": "hubert", "sample_rate": 16000, "normalize": True}, "lacks the entry 'model'"),
    ],
)
def test_damaged_settings(settings, message):
    with pytest.raises(InputError, match=f"^sv.pt: {message}"):
        backbone_from_settings(settings, "sv.pt")
