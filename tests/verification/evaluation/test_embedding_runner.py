"""What is embedded how often, from where it is taken, and with how many threads and processes."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.mfcc import mfcc_encoder
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner, Workers, one_thread
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore
from csc_fairseq.verification.evaluation.scoring import score_encoder
from csc_fairseq.verification.trials.conditions import CLEAN
from csc_fairseq.verification.trials.trial_list import TrialList
from tests.verification.evaluation.tones import BOTH, FAINT, GROUPS, LOUD, VOICES, ToneEncoder


def test_every_recording_is_embedded_once(material):
    """The enrolled ones clean, and once more where their side is mixed as well; the tested ones once a condition."""
    models = ((0, 1), (1, 2), (6,))
    enrol, test = np.array([(0, 2), (0, 7), (1, 7), (2, 7), (2, 2)]).T
    trials = TrialList(models, enrol, test, GROUPS[test] == np.array([0, 0, 2])[enrol], material.interferers)
    encoder = ToneEncoder(streams=2)
    score_encoder(EmbeddingRunner(encoder, material), trials, [CLEAN, LOUD, FAINT])
    assert encoder.seen == 4 + 3 * 2
    score_encoder(EmbeddingRunner(encoder, material), trials, [LOUD, BOTH])
    assert encoder.seen == 10 + 4 + 2 + (4 + 2)


def test_kept_embeddings_are_used_again(material, trials, tmp_path):
    def scores(encoder, key="key", chosen=trials):
        runner = EmbeddingRunner(encoder, material, store=EmbeddingStore(tmp_path), key=key)
        return score_encoder(runner, chosen, [CLEAN, LOUD, BOTH])

    first, again = ToneEncoder(streams=2), ToneEncoder(streams=2)
    expected, found = scores(first), scores(again)
    assert first.seen == 5 * 18 and again.seen == 0
    for name, one in expected.items():
        for column in ("best", "oracle", "wrong"):
            np.testing.assert_array_equal(getattr(one, column), getattr(found[name], column))
        assert (one.si_snri, one.sdri) == (found[name].si_snri, found[name].sdri)
    kept = {f"{name}.embedded" for name in ("clean.enrolment", "clean.test", f"{LOUD.name}.test")}
    kept |= {"both sides.enrolment.embedded", "both sides.test.embedded"}
    assert {path.name for path in tmp_path.iterdir()} == kept

    without_streams = ToneEncoder()  # those of another key are not used
    assert scores(without_streams, key=["another"])[LOUD.name].oracle is None and without_streams.seen > 0
    fewer_trials = replace(trials, enrol=trials.enrol[:40], test=trials.test[:40], targets=trials.targets[:40])
    assert len(set(fewer_trials.test)) < len(set(trials.test))
    fewer = ToneEncoder()  # nor those of other recordings
    scores(fewer, ["another"], fewer_trials)
    assert fewer.seen > 0


def test_embeddings_from_a_file_are_those_of_the_clean_recordings(material, trials, tmp_path):
    names = material.pool.manifest.names
    order = np.random.default_rng(0).permutation(len(names))
    np.savez(tmp_path / "e.npz", names=[names[i] for i in order], embeddings=3 * VOICES[GROUPS[order]])
    runner = EmbeddingRunner(FileEncoder("file", tmp_path / "e.npz"), material)
    best = score_encoder(runner, trials, [CLEAN])["clean"].best
    np.testing.assert_allclose(best, (VOICES[GROUPS[trials.enrol]] * VOICES[GROUPS[trials.test]]).sum(1), atol=1e-6)
    with pytest.raises(InputError, match="encoder file: .*cannot embed mixtures"):
        score_encoder(runner, trials, [CLEAN, LOUD])


def test_a_process_that_dies_is_told(material, tmp_path, monkeypatch):
    (tmp_path / "csc_test_dies.py").write_text("import os\n\ndef dies(waveforms):\n    os._exit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with EmbeddingRunner(mfcc_encoder("mine"), material, Workers("csc_test_dies:dies", 1)) as runner:
        with pytest.raises(InputError, match="encoder mine: one of 1 processes was ended; .* fewer --jobs"):
            runner.embedded(CLEAN, "test", range(3))


def test_one_thread_while_it_lasts():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
