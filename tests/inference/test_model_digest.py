"""A model is the same one in a checkpoint and in a bundle, and another one with any other weight."""

import torch

from csc_fairseq.backbones.csc import CscBackbone
from csc_fairseq.inference.loading import load_model
from csc_fairseq.inference.model_digest import model_digest
from tests.making import TINY, bundled, csc_checkpoint, saved, separative_network, verifier_checkpoint


def test_checkpoint_and_bundle_have_one_digest(tmp_path):
    torch.manual_seed(0)
    states = [csc_checkpoint(separative_network(filled=2)), verifier_checkpoint(CscBackbone(TINY, 16000))]
    found = []
    for number, state in enumerate(states):
        model = load_model(saved(state, tmp_path / f"{number}.pt"))
        found.append(model_digest(model))
        assert model_digest(load_model(bundled(model, tmp_path / f"{number}_bundle.pt"))) == found[-1]
    assert found[0] != found[1] and {len(digest) for digest in found} == {32}


def test_any_number_counts(model):
    before = model_digest(model)
    for weight in list(model.network.parameters())[::7]:
        with torch.no_grad():
            first = weight.view(-1)[0].item()
            weight.view(-1)[0] = first + 1
            assert model_digest(model) != before
            weight.view(-1)[0] = first
        assert model_digest(model) == before
    model.sample_rate = 8000
    assert model_digest(model) != before
