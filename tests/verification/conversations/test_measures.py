import numpy as np
import pytest

from csc_fairseq.data.rttm import Turn
from csc_fairseq.diarization.scoring import diarization_errors
from csc_fairseq.verification.conversations.measures import (
    FLOOR_DB,
    ratios,
    separation_measure,
    voice_measure,
)
from csc_fairseq.verification.conversations.systems import Diarized

RATE = 16000


def test_errors_worked_out_by_hand():
    """Anna 0 to 10 s, Ben 8 to 12 s; the second is found from 9 s, the first too long, and 15 to 16 s is a false alarm."""
    reference = [Turn("anna", 0, 10), Turn("ben", 8, 12)]
    found = [Turn("talker_2", 0, 10.5), Turn("talker_1", 9, 12), Turn("talker_2", 15, 16)]
    errors, (jaccard, count) = diarization_errors(reference, found, 20.0)
    by_way = {(one.collar, one.overlap): one for one in errors}
    plain = by_way[0.0, True]
    assert (plain.total, plain.missed, plain.false_alarm, plain.confusion) == pytest.approx((14, 1, 1.5, 0))
    assert plain.wrong == pytest.approx(2.5)
    alone = by_way[0.0, False]  # 8 to 10 s is left out
    assert (alone.total, alone.missed, alone.false_alarm) == pytest.approx((10, 0, 1.5))
    collar = by_way[0.25, True]  # 0.25 s on each side of 0, 8, 10 and 12 s
    assert collar.total == pytest.approx(10 - 0.25 - 0.5 - 0.25 + 4 - 0.25 - 0.5 - 0.25)
    assert (collar.missed, collar.false_alarm) == pytest.approx((1 - 0.25 + 0.0, 1.25))
    assert count == 2  # anna: 10 of 11.5 s agree; ben: 3 of 4 s
    assert jaccard == pytest.approx((1 - 10 / 11.5) + (1 - 3 / 4))


def test_names_do_not_matter_but_confusion_does():
    reference = [Turn("anna", 0, 6), Turn("ben", 6, 10)]
    right = diarization_errors(reference, [Turn("x", 0, 6), Turn("y", 6, 10)], 10.0)[0][0]
    assert right.wrong == 0 and right.total == 10
    one = diarization_errors(reference, [Turn("x", 0, 10)], 10.0)[0][0]
    assert (one.missed, one.false_alarm, one.confusion) == pytest.approx((0, 0, 4))
    nobody = diarization_errors(reference, [], 10.0)[0][0]
    assert nobody.missed == pytest.approx(10)


def noise(seed: int, samples: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_ratios_are_si_snr():
    reference, other = noise(0), noise(1)
    other -= other @ reference / (reference @ reference) * reference
    other *= np.float32(np.linalg.norm(reference) / np.linalg.norm(other))
    streams = np.stack([3 * (reference + 0.1 * other), other, np.zeros_like(other), reference + other])
    found = ratios(streams, reference[None])[:, 0]
    assert found[0] == pytest.approx(20, abs=0.1) and found[3] == pytest.approx(0, abs=0.1)
    assert found[1] == FLOOR_DB and found[2] == FLOOR_DB


def two_talkers() -> tuple[dict[str, np.ndarray], list[Turn]]:
    """Each talks two seconds alone, then both together."""
    sources = {name: noise(seed, 6 * RATE) for seed, name in enumerate(("anna", "ben"))}
    sources["anna"][2 * RATE : 4 * RATE] = 0
    sources["ben"][: 2 * RATE] = 0
    return sources, [Turn("anna", 0, 2), Turn("anna", 4, 6), Turn("ben", 2, 6)]


def test_separation_of_perfect_streams_in_any_order():
    sources, reference = two_talkers()
    mixture = sources["anna"] + sources["ben"]
    found = separation_measure(np.stack([sources["ben"], sources["anna"]]), sources, reference, mixture, RATE)
    assert (found.kept, found.alone) == (200, 200)
    assert len(found.overlapped_si_snri) == 2 and min(found.overlapped_si_snri) > 50


def test_a_stream_that_changes_its_talker_is_not_kept():
    sources, reference = two_talkers()
    mixture = sources["anna"] + sources["ben"]
    streams = np.stack([sources["anna"], sources["ben"]])
    streams[:, RATE : 2 * RATE] = streams[::-1, RATE : 2 * RATE]  # a second of anna, alone, is in the other stream
    found = separation_measure(streams, sources, reference, mixture, RATE)
    assert (found.kept, found.alone) == (150, 200)


def test_separation_without_enough_streams():
    sources, reference = two_talkers()
    mixture = sources["anna"] + sources["ben"]
    one = separation_measure(mixture[None], sources, reference, mixture, RATE)
    assert one.overlapped_si_snri == pytest.approx((0, 0), abs=1e-4)
    assert (one.kept, one.alone) == (100, 200)  # the stream is one talker's
    none = separation_measure(np.zeros((0, 6 * RATE), np.float32), sources, reference, mixture, RATE)
    assert (none.kept, none.alone) == (0, 200)
    # Whoever finds nobody has silence for both where they overlap, as a voice has that nobody is found for.
    before = ratios(mixture[None, 4 * RATE :], np.stack([one[4 * RATE :] for one in sources.values()]))[0]
    assert none.overlapped_si_snri == pytest.approx(FLOOR_DB - before) and max(none.overlapped_si_snri) < -25


def test_silence_keeps_nobody():
    sources, reference = two_talkers()
    mixture = sources["anna"] + sources["ben"]
    for order in (["anna", "ben"], ["ben", "anna"]):
        streams = np.stack([sources[name] for name in order])
        streams[:, RATE : 3 * RATE] = 0  # a second of each, alone
        found = separation_measure(streams, sources, reference, mixture, RATE)
        assert (found.kept, found.alone) == (100, 200)


def test_a_voice_takes_the_talker_that_is_most_like_it():
    sources, _ = two_talkers()
    mixture = sources["anna"] + sources["ben"]
    centres = np.eye(3, dtype=np.float32)[:2]
    diarized = Diarized([], centres, np.stack([sources["anna"], sources["ben"]]))
    voice = np.array([0.6, 0.8, 0.0], dtype=np.float32)
    windows = np.stack([centres[0], voice])
    right = voice_measure("ben", True, voice, windows, diarized, mixture, sources["ben"])
    assert (right.best_window, right.best_talker) == pytest.approx((1.0, 0.8))
    assert right.si_snri > 50
    wrong = voice_measure("anna", True, voice, windows, diarized, mixture, sources["anna"])
    assert wrong.si_snri < -10
    absent = voice_measure("eve", False, centres[0], windows, diarized, mixture, None)
    assert (absent.present, absent.si_snri, absent.best_talker) == (False, None, 1.0)
    nobody = Diarized([], np.zeros((0, 3), np.float32), np.zeros((0, len(mixture)), np.float32))
    lost = voice_measure("anna", True, voice, np.zeros((0, 3), np.float32), nobody, mixture, sources["anna"])
    assert (lost.best_window, lost.best_talker) == (-1.0, -1.0)
    assert lost.si_snri == pytest.approx(FLOOR_DB - ratios(mixture[None], sources["anna"][None])[0, 0])
