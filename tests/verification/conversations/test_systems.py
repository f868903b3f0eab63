import numpy as np
import pytest

from csc_fairseq.verification.conversations.systems import SeparatingModel, WindowedEncoder, make_system
from csc_fairseq.verification.encoders.encoder import SingleEncoder
from tests.making import SAMPLE_RATE, bundled, fails, speaker_encoder, voice


def pitch(waveforms) -> np.ndarray:
    """Energy below 600 Hz, from there to 1.5 kHz, and above: tones of 300, 1000 and 3000 Hz are three speakers."""
    spectra = [np.square(np.abs(np.fft.rfft(one))) for one in waveforms]
    edges = [(np.array([0, 600, 1500, 8000]) / 8000 * (len(one) - 1)).astype(int) for one in spectra]
    return np.stack(
        [[one[a:b].sum() for a, b in zip(e[:-1], e[1:], strict=True)] for one, e in zip(spectra, edges, strict=True)]
    )


def spoken(*parts: tuple[float, float]) -> np.ndarray:
    """Parts of (Hz or 0 for a pause, seconds), over faint noise."""
    rng = np.random.default_rng(0)
    sounds = [
        0.1 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
        for hertz, seconds in parts
    ]
    samples = np.concatenate(sounds)
    return (samples + 1e-4 * rng.standard_normal(len(samples))).astype(np.float32)


@pytest.fixture
def system() -> WindowedEncoder:
    return WindowedEncoder(SingleEncoder("tones", SAMPLE_RATE, 400, pitch))


PARTS = ((0, 1), (300, 6), (0, 1), (1000, 4), (0, 1), (300, 3), (0, 1))


@pytest.mark.parametrize(("talkers", "distance"), [(2, None), (None, 0.5)])
def test_windows_and_clustering_find_who_speaks_when(system, talkers, distance):
    samples = spoken(*PARTS)
    heard = system.hear(samples)
    found = heard.diarized(talkers, distance)
    assert [turn.talker for turn in found.turns] == ["talker_1", "talker_2", "talker_1"]
    edges = [(turn.start, turn.end) for turn in found.turns]
    assert np.abs(np.array(edges) - [[1, 7], [8, 12], [13, 16]]).max() <= 0.04
    np.testing.assert_allclose(found.centres, [[1, 0, 0], [0, 1, 0]], atol=0.08)
    assert found.streams.shape == (2, len(samples))
    np.testing.assert_array_equal(
        found.streams[1][9 * SAMPLE_RATE : 11 * SAMPLE_RATE], samples[9 * SAMPLE_RATE : 11 * SAMPLE_RATE]
    )
    assert not found.streams[0][8 * SAMPLE_RATE : 12 * SAMPLE_RATE].any()
    assert heard.windows.shape[1] == 3


def test_the_distance_decides_how_many(system):
    heard = system.hear(spoken((300, 5), (1000, 5), (3000, 5)))
    counts = [len(heard.diarized(None, distance).centres) for distance in (0.3, 1.5)]
    assert counts == [3, 1]
    assert len(heard.diarized(2, None).centres) == 2


def test_a_scrap_is_no_talker_unless_asked_for(system):
    heard = system.hear(spoken((300, 6), (3000, 0.9), (300, 6)))
    assert len(heard.diarized(None, 0.4).centres) == 1


def test_nobody_speaks(system):
    for samples in (np.zeros(SAMPLE_RATE, np.float32), np.zeros(5 * SAMPLE_RATE, np.float32)):
        found = system.hear(samples).diarized(2, None)
        assert found.turns == [] and found.streams.shape == (0, len(samples)) and len(found.centres) == 0


def test_a_short_recording_is_one_window(system):
    found = system.hear(spoken((300, 1))).diarized(None, 0.5)
    assert len(found.centres) == 1 and found.turns[0].talker == "talker_1"


def test_little_speech_is_embedded_all_the_same(system):
    """No window has half a second of it; those that hold all of it are taken."""
    found = system.hear(spoken((0, 3), (300, 0.4), (0, 2.6)))
    assert found.diarized(1, None).turns[0].start == pytest.approx(3, abs=0.04)
    (turn,) = found.diarized(None, 0.5).turns
    assert turn.end == pytest.approx(3.4, abs=0.04)
    assert np.abs(found.windows - [1, 0, 0]).max() < 0.1


def test_a_sound_in_digital_silence_is_all_that_is_heard(system):
    """The mean of the recording is not that of its silence, which stays silence."""
    samples = np.zeros(10 * SAMPLE_RATE, np.float32)
    samples[4 * SAMPLE_RATE : round(4.4 * SAMPLE_RATE)] = 0.02 + spoken((300, 0.4))
    (turn,) = system.hear(samples).diarized(1, None).turns
    assert (turn.start, turn.end) == pytest.approx((4, 4.4), abs=0.04)


def test_enrolments_are_averaged(system):
    mean = system.enrol([spoken((300, 1)), spoken((1000, 1))])
    np.testing.assert_allclose(mean, [0.5**0.5, 0.5**0.5, 0], atol=0.01)


def test_a_model_that_separates_uses_its_own_talkers(tmp_path):
    model = speaker_encoder()
    system = make_system(f"tiny={bundled(model, tmp_path / 'csc.pt')}", "cpu")
    assert isinstance(system, SeparatingModel) and (system.name, system.sample_rate) == ("tiny", SAMPLE_RATE)
    samples = np.concatenate([voice(1, 0, 4), voice(2, 0, 4)])
    heard = system.hear(samples)
    rows = model.windows(samples).queries.reshape(-1, 12)
    assert 0 < len(heard.windows) <= len(rows)
    distances = np.linalg.norm(heard.windows[:, None] - rows, axis=2)  # each is a query of a window
    assert distances.min(axis=1).max() < 1e-4
    found = heard.diarized(1, None)
    assert found.centres.shape == (1, 12) and found.streams.shape == (1, len(samples))
    assert {turn.talker for turn in found.turns} == {"talker_1"}
    takes = [voice(3, 0), voice(3, 1)]
    mean = np.stack([model.embed(take) for take in takes]).mean(axis=0)
    np.testing.assert_allclose(system.enrol(takes), mean / np.linalg.norm(mean), atol=1e-5)


def test_encoders_that_only_embed_get_windows():
    system = make_system("m=mfcc", "cpu")
    assert isinstance(system, WindowedEncoder) and system.needs_distance


@pytest.mark.parametrize("text", ["mfcc+ge2e", "embeddings.npz"])
def test_what_cannot_hear_conversations(text):
    assert "cannot hear conversations" in fails(make_system, text, "cpu")


def test_separated_encoders_are_refused(tmp_path):
    path = bundled(speaker_encoder(), tmp_path / "csc.pt")
    assert "separate= is not for conversations" in fails(make_system, f"mfcc,separate={path}", "cpu")
