from dataclasses import replace

import numpy as np
import pytest
import soundfile

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.manifest import identity_labels, read_manifest, write_manifest
from csc_fairseq.data.mixing_plans import MixingOptions, MixingPlan, NoisePlan, SourcePlan, draw_plans
from csc_fairseq.data.pool import RecordingError, RecordingPool
from csc_fairseq.data.rendering import most_active, render
from csc_fairseq.data.rng import generator

VIEW = 8000
OPTIONS = MixingOptions(view_frames=VIEW)
LONG = [[12000, 16000, 9000], [16000, 12000, 16000], [20000, 9000, 12000], [16000, 16000, 16000]]


def draw_many(options, pool, count, noise=None, rirs=None):
    """Plans of `count` items, with one target after the other."""
    for key in range(count):
        yield from draw_plans(options, pool, key % len(pool), generator("test", key), noise=noise, rirs=rirs)


def decibels(power_ratio):
    return 10 * np.log10(power_ratio)


def power_where_heard(source):
    """Mean square between the first and the last sample that is not zero."""
    heard = np.flatnonzero(source)
    return np.mean(np.square(source[heard[0] : heard[-1] + 1], dtype=np.float64))


@pytest.fixture
def banks(make_manifest):
    rng = np.random.default_rng(3)
    noises = {f"{i}.wav": rng.standard_normal(frames) * 10**-i for i, frames in enumerate((20000, 3000))}
    decay = np.exp(-np.arange(3000) / 500)
    responses = {f"{i}.wav": rng.standard_normal(3000) * decay * 0.1 + 0.9 * (np.arange(3000) == 40) for i in range(4)}
    noise = NoiseBank(make_manifest("noise", noises), 16000)
    return {"noise": noise, "rirs": RirBank(make_manifest("rir", responses), 16000)}


@pytest.mark.parametrize("rir_probability", [0, 1])
@pytest.mark.parametrize("lengths", [LONG, [[9000, 2500], [3000, 5000], [4100]]], ids=["long", "short"])
@pytest.mark.parametrize("white", [False, True])
def test_achieved_sir_and_snr(make_pool, banks, rir_probability, lengths, white):
    options = replace(
        OPTIONS, sources=3, views=1, single_talker_share=0, noise_probability=1, rir_probability=rir_probability
    )
    if white:
        banks["noise"] = None
    pool = make_pool(lengths[:2] + [lengths[2] * 2])
    for plan in draw_many(options, pool, 24, **banks):
        mixture = render(plan, pool, **banks)
        target, *interferers = (power_where_heard(mixture.sources[slot]) for slot in plan.order)
        assert np.sqrt(target) == pytest.approx(0.05, rel=1e-3)
        for source, level in zip(plan.sources[1:], interferers, strict=True):
            assert decibels(target / level) == pytest.approx(source.sir_db, abs=0.01)
        noise = mixture.samples - mixture.sources.sum(axis=0)
        assert decibels(target / np.mean(np.square(noise))) == pytest.approx(plan.noise.snr_db, abs=0.01)


def test_mixture_fields_follow_the_slots(make_pool, banks):
    pool = make_pool(LONG)
    for plan in draw_many(replace(OPTIONS, sources=3, noise_probability=0), pool, 30):
        mixture = render(plan, pool)
        np.testing.assert_array_equal(mixture.samples, mixture.sources.sum(axis=0))
        assert mixture.samples.dtype == mixture.sources.dtype == np.float32
        assert mixture.sources.shape == (3, VIEW)
        for slot in range(3):
            if slot in plan.order:
                source = plan.sources[plan.order.index(slot)]
                fields = (source.recording, source.identity, True, True)
            else:
                fields = (-1, -1, False, False)
            assert fields == (
                mixture.recordings[slot],
                mixture.identities[slot],
                mixture.present[slot],
                mixture.sources[slot].any(),
            )


def test_rendering_does_not_depend_on_the_level_of_the_file(make_manifest):
    tone = np.sin(np.arange(9000) / 7)
    manifest = make_manifest("speech", {"loud.wav": tone, "faint.wav": tone / 2048})
    pool = RecordingPool(manifest, ["a", "b"], {}, 16000)
    loud, faint = (render(MixingPlan(VIEW, (SourcePlan(i, 0, (500,), VIEW),), 0, 1, (0,)), pool) for i in (0, 1))
    np.testing.assert_allclose(loud.samples, faint.samples, atol=1e-6)
    heard = tone[500:8500] - tone[500:8500].mean()
    expected = heard * 0.05 / np.sqrt(np.mean(heard**2))
    np.testing.assert_allclose(loud.samples, expected, atol=1e-6)


def test_an_offset_of_the_recorder_is_no_part_of_a_level(make_manifest):
    rng = np.random.default_rng(1)
    talkers = {f"{name}.wav": rng.uniform(-0.02, 0.02, 9000) for name in ("a", "b", "noise")}
    mixtures = []
    for offset in (0.0, 0.5):
        files = {f"{offset}/{name}": samples + offset for name, samples in talkers.items()}
        manifest = make_manifest(f"speech{offset}", files)
        pool = RecordingPool(manifest, ["a", "b", "noise"], {}, 16000)
        sources = (SourcePlan(0, 0, (500,), VIEW), SourcePlan(1, 0, (0, 700), 4000, 2000, sir_db=3.0))
        mixtures.append(
            render(MixingPlan(VIEW, sources, 0, 2, (0, 1), NoisePlan(2, 0, 10.0, 0)), pool, NoiseBank(manifest, 16000))
        )
    np.testing.assert_allclose(mixtures[1].sources, mixtures[0].sources, atol=1e-4)  # 16-bit files
    np.testing.assert_allclose(mixtures[1].samples, mixtures[0].samples, atol=1e-4)


def test_a_source_is_turned_upside_down(make_manifest):
    pool = RecordingPool(make_manifest("speech", {"a.wav": np.sin(np.arange(9000) / 7)}), ["a"], {}, 16000)
    sources = [SourcePlan(0, 0, (0,), VIEW, sign=sign) for sign in (1, -1)]
    rendered = [render(MixingPlan(VIEW, (source,), 0, 1, (0,)), pool) for source in sources]
    assert np.abs(rendered[0].sources).max() > 0.01
    np.testing.assert_array_equal(rendered[0].sources, -rendered[1].sources)


def test_room_response_keeps_direct_sound_and_adds_its_echo(make_manifest):
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(2000)
    pool = RecordingPool(make_manifest("speech", {"a.wav": speech}), ["a"], {}, 16000)
    response = np.zeros(700)
    response[[50, 650]] = [0.8, 0.4]
    rirs = RirBank(make_manifest("rir", {"0.wav": response}), 16000)
    mixture = render(MixingPlan(VIEW, (SourcePlan(0, 0, (0,), 2000, 3000, rir=0),), 0, 1, (0,)), pool, rirs=rirs)
    expected, speech = np.zeros(VIEW), speech - speech.mean()
    expected[3000:5000] += speech
    expected[3600:5600] += speech / 2
    extent = expected[2950:5649]  # the response has 50 samples before its direct path and 649 after
    np.testing.assert_allclose(mixture.samples, expected * 0.05 / np.sqrt(np.mean(extent**2)), atol=1e-5)


def test_silent_stretch_of_noise_is_left_out(make_pool, make_manifest):
    pool = make_pool(LONG)
    noise = NoiseBank(
        make_manifest("noise", {"gap.wav": np.concatenate([np.zeros(9000), np.tile([1.0, -1.0], 4500)])}), 16000
    )
    plan = MixingPlan(VIEW, (SourcePlan(0, 0, (0,), VIEW),), 0, 1, (0,), NoisePlan(0, 0, 10.0, 0))
    mixture = render(plan, pool, noise)
    np.testing.assert_array_equal(mixture.samples, mixture.sources[0])
    audible = render(replace(plan, noise=NoisePlan(0, 9500, 10.0, 0)), pool, noise)
    assert not np.array_equal(audible.samples, audible.sources[0])


def test_a_constant_is_silent(make_pool, make_manifest):
    flat = make_manifest("flat", {"a.wav": np.full(9000, 0.01)})
    with pytest.raises(RecordingError, match="a.wav: silent in the 8000 samples"):
        render(MixingPlan(VIEW, (SourcePlan(0, 0, (0,), VIEW),), 0, 1, (0,)), RecordingPool(flat, ["a"], {}, 16000))
    plan = MixingPlan(VIEW, (SourcePlan(0, 0, (0,), VIEW),), 0, 1, (0,), NoisePlan(0, 0, 10.0, 0))
    mixture = render(plan, make_pool(LONG), NoiseBank(flat, 16000))
    np.testing.assert_array_equal(mixture.samples, mixture.sources[0])


def test_silent_source_is_an_error_that_names_file_and_line(make_manifest):
    pool = RecordingPool(
        make_manifest("speech", {"a.wav": np.ones(9000), "b.wav": np.zeros(9000)}), ["a", "b"], {}, 16000
    )
    with pytest.raises(RecordingError, match=r"b\.wav: silent .*speech\.tsv:3"):
        render(MixingPlan(VIEW, (SourcePlan(1, 0, (0,), VIEW),), 0, 1, (0,)), pool)


@pytest.mark.parametrize("cache_megabytes", [0, 1])
def test_crop_goes_where_the_speech_is(make_manifest, cache_megabytes):
    rng = np.random.default_rng(0)
    samples = 3e-4 * rng.standard_normal(32000)  # a hissing pause, then speech
    samples[16000:] += 0.2 * np.sin(np.arange(16000) / 5)
    manifest = make_manifest("half", {"a.wav": samples})
    pool = RecordingPool(manifest, ["a"], {}, 16000, cache_megabytes=cache_megabytes)
    for starts in ((0, 20000, 9000), (20000, 0), (100, 10000, 20000)):
        mixture = render(MixingPlan(VIEW, (SourcePlan(0, 0, starts, VIEW),), 0, 1, (0,)), pool)
        assert np.corrcoef(mixture.samples, samples[20000:28000])[0, 1] > 0.999


def test_most_active_counts_frames_and_takes_the_first_of_equals():
    def crop(*levels):
        return np.repeat(np.array(levels, dtype=np.float32), 10)

    assert most_active([crop(1, 0, 0), crop(0.1, 0.1, 0), crop(0.1, 0.1, 0)], 10) == 1
    assert most_active([crop(1, 1), crop(1, 1)], 10) == 0
    assert most_active([crop(1, 0.018), crop(0.017, 0.017)], 10) == 0  # 35 dB below 1 is 0.01778
    assert most_active([crop(1, 0), crop(0.018, 0.018)], 10) == 1


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_memory_does_not_change_the_samples(make_pool, suffix):
    kept, read = make_pool(LONG, suffix=suffix), make_pool(LONG, suffix=suffix, cache_megabytes=0)
    for _ in range(2):  # the second time from memory
        for plan in draw_many(OPTIONS, kept, 6):
            np.testing.assert_array_equal(render(plan, kept).samples, render(plan, read).samples)


def test_only_corpora_that_fit_are_kept(make_pool):
    pools = [make_pool([[160000, 160000], [160000]], cache_megabytes=size) for size in (1, 2)]  # 1.83 MiB
    for pool in pools:
        pool.crop(0, 5, 100)
        pool.manifest.file(0).rename(pool.manifest.file(0).with_suffix(".gone"))
        if pool is pools[0]:
            with pytest.raises(RecordingError, match=r"0\.wav"):
                pool.crop(0, 5, 100)
            pool.manifest.file(0).with_suffix(".gone").rename(pool.manifest.file(0))
    assert len(pools[1].crop(0, 5, 100)) == 100


def test_resampling_counts_frames_at_the_new_rate(make_manifest):
    time = np.arange(24000) / 48000
    manifest = make_manifest("speech", {"a.wav": np.sin(2 * np.pi * 440 * time)}, sample_rate=48000)
    pool = RecordingPool(manifest, ["a"], {}, 16000, resample=True)
    assert pool.frames.tolist() == [8000]
    expected = np.sin(2 * np.pi * 440 * np.arange(2000, 3000) / 16000)
    np.testing.assert_allclose(pool.crop(0, 2000, 1000), expected, atol=1e-3)


def test_real_speech_noise_and_rooms(shared_data, tmp_path):
    def manifest(name, pattern):
        files = sorted(shared_data.glob(pattern))[:12]
        assert files
        entries = [(str(file.relative_to(shared_data)), soundfile.info(file).frames) for file in files]
        write_manifest(tmp_path / f"{name}.tsv", shared_data, entries)
        return read_manifest(tmp_path / f"{name}.tsv")

    speech = manifest("speech", "speech/speechocean762/*/*1.opus")
    pool = RecordingPool(speech, identity_labels(speech, "session"), {}, 16000)
    noise = NoiseBank(manifest("noise", "noise/*/*.opus"), 16000)
    rirs = RirBank(manifest("rir", "rir/*/*.flac"), 16000)
    options = MixingOptions(view_frames=16000, views=1, single_talker_share=0, noise_probability=1, rir_probability=0.5)
    for plan in draw_many(options, pool, 12, noise=noise, rirs=rirs):
        mixture = render(plan, pool, noise, rirs)
        target, interferer = (power_where_heard(mixture.sources[slot]) for slot in plan.order)
        assert decibels(target / interferer) == pytest.approx(plan.sources[1].sir_db, abs=0.01)
