"""Plans of conditions: levels that are heard, pairing across conditions, keys, places, and what is missing."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from csc_fairseq.data import rng
from csc_fairseq.data.augment import NoiseBank, RirBank, centred
from csc_fairseq.data.manifest import read_manifest, write_manifest
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import render
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials import condition_plans
from csc_fairseq.verification.trials.condition_plans import check_banks, plan
from csc_fairseq.verification.trials.conditions import STANDARD, Condition

RATE = 16000
LONGEST = 9600
HALF = Condition("half", talkers=2, sir_db=3.0, overlap=0.5)
BOTH = Condition("both sides", talkers=1, sir_db=-5.0, noise="stationary", snr_db=5.0, rir=True, mixed_enrolment=True)
ALL = (*STANDARD, HALF, BOTH)


def write(folder, name, signals, rate=RATE):
    """Manifest name.tsv of {file: samples}."""
    for file, samples in signals.items():
        (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name / file, samples, rate, subtype="FLOAT")
    entries = [(file, len(samples)) for file, samples in signals.items()]
    write_manifest(folder / f"{name}.tsv", folder / name, entries)
    return read_manifest(folder / f"{name}.tsv")


def recordings(speakers=6, utterances=4):
    """{"s3/1.wav": samples}: noise that swells and fades, of 0.2 to 0.9 s and different levels."""
    signals = {}
    for speaker in range(speakers):
        for utterance in range(utterances):
            generator = np.random.default_rng([speaker, utterance])
            frames = 3200 + 1600 * ((2 * speaker + 3 * utterance) % 8)
            swell = 0.6 + 0.5 * np.sin(np.arange(frames) / 900 + speaker)
            level = 0.01 * (1 + speaker) * (1 + utterance)
            signals[f"s{speaker}/{utterance}.wav"] = level * swell * generator.standard_normal(frames)
    return signals


def pool_of(manifest, rate=RATE, **options):
    return RecordingPool(manifest, [name[:2] for name in manifest.names], {}, rate, **options)


class Material:
    """A pool, its interferers and all banks; `plan` draws one plan, `render` renders it."""

    def __init__(self, pool, noises, rirs, seed=0):
        self.pool, self.noises, self.rirs, self.seed = pool, noises, rirs, seed
        count = len(pool)
        self.interferers = np.array([[(i + 4) % count, (i + 9) % count] for i in range(count)])
        assert all(len({*pool.groups[row], pool.groups[i]}) == 3 for i, row in enumerate(self.interferers))

    def plan(self, condition, recording, side="test", longest=LONGEST):
        row = self.interferers[recording]
        return plan(condition, self.pool, recording, row, self.seed, side, longest, self.noises, self.rirs)

    def render(self, condition, mixing_plan):
        return render(mixing_plan, self.pool, self.noises.get(condition.noise), self.rirs)


def noise_signals(kind):
    """Four "other" noises of 4 000 to 25 000 samples; six "stationary" ones, shorter."""
    count, step = (4, 7000) if kind == "other" else (6, 2000)
    generator = np.random.default_rng(count)
    return {f"{kind} {i}.wav": 0.03 * (i + 1) * generator.standard_normal(4000 + step * i) for i in range(count)}


def room_signals():
    generator = np.random.default_rng(78)
    decay = np.exp(-np.arange(2000) / 300)
    responses = {f"{i}.wav": 0.05 * decay * generator.standard_normal(2000) for i in range(7)}
    for i, response in enumerate(responses.values()):
        response[: 40 * i] = 0
        response[40 * i] = 1  # the direct path, later and later
    return responses


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions")
    noises = {kind: NoiseBank(write(folder, kind, noise_signals(kind)), RATE) for kind in ("stationary", "other")}
    rirs = RirBank(write(folder, "rirs", room_signals()), RATE)
    return Material(pool_of(write(folder, "speech", recordings())), noises, rirs)


def without_levels(mixing_plan):
    sources = tuple(replace(source, sir_db=0.0) for source in mixing_plan.sources)
    noise = mixing_plan.noise and replace(mixing_plan.noise, snr_db=0.0)
    return replace(mixing_plan, sources=sources, noise=noise)


def mean_square(samples):
    return np.mean(np.square(samples, dtype=np.float64))


@pytest.mark.parametrize("side", ["test", "enrolment"])
@pytest.mark.parametrize("condition", ALL, ids=lambda condition: condition.name)
def test_the_levels_heard_are_those_of_the_condition(material, condition, side):
    for recording in range(0, len(material.pool), 3):
        drawn = material.plan(condition, recording, side)
        mixture = material.render(condition, drawn)
        assert len(mixture.sources) == 1 + condition.talkers and mixture.present.all()
        assert drawn.frames == min(material.pool.frames[recording], LONGEST) == len(mixture.samples)
        assert mixture.recordings.tolist() == [recording, *material.interferers[recording][: condition.talkers]]
        test = mean_square(mixture.sources[0])
        for other in mixture.sources[1:]:
            heard = np.flatnonzero(other)  # these recordings have no sample 0: a zero means not heard
            extent = other[heard[0] : heard[-1] + 1]
            assert 10 * np.log10(test / mean_square(extent)) == pytest.approx(condition.sir_db, abs=0.01)
        rest = mixture.samples.astype(np.float64) - mixture.sources.sum(0, dtype=np.float64)
        if condition.noise is None:
            assert np.abs(rest).max() < 1e-6
        else:
            assert 10 * np.log10(test / mean_square(rest)) == pytest.approx(condition.snr_db, abs=0.01)
        assert all((source.rir >= 0) == condition.rir for source in drawn.sources)


def test_clean_is_the_beginning_of_the_recording(material):
    for side in ("test", "enrolment"):
        samples = material.render(STANDARD[0], material.plan(STANDARD[0], 5, side, 3000)).samples
        original = centred(material.pool.crop(5, 0, 3000))
        np.testing.assert_allclose(samples / np.abs(samples).max(), original / np.abs(original).max(), atol=1e-6)


def test_conditions_differ_in_kind_and_level_alone(material):
    """What two conditions share is drawn equally, at every level and with whatever else they have."""
    named = {condition.name: condition for condition in STANDARD}
    everything = named["talker + noise + rir"]
    for recording in range(len(material.pool)):
        drawn = {name: material.plan(condition, recording) for name, condition in named.items()}
        stripped = {name: without_levels(mixing_plan) for name, mixing_plan in drawn.items()}
        for kind in ("stationary noise", "other noise", "talker"):
            levels = [stripped[name] for name in named if name.startswith(f"{kind} ") and name != everything.name]
            assert len(levels) >= 3 and all(other == levels[0] for other in levels)
        assert stripped["two talkers 0 dB"].sources[:2] == stripped["talker 5 dB"].sources
        mixed = stripped[everything.name]
        assert mixed.noise == stripped["other noise 0 dB"].noise
        assert mixed.sources[0] == stripped["rir"].sources[0]
        assert tuple(replace(source, rir=-1) for source in mixed.sources) == stripped["talker 5 dB"].sources
    assert drawn["stationary noise 0 dB"].noise != drawn["other noise 0 dB"].noise


def test_plans_depend_on_nothing_but_their_keys(material, tmp_path):
    """Not on the order and number of conditions, not on earlier draws, not on other lines of the manifest."""
    tasks = [(one, i, side) for one in ALL for i in range(len(material.pool)) for side in ("test", "enrolment")]
    forwards = {(one.name, i, side): material.plan(one, i, side) for one, i, side in tasks}
    few = {(one.name, i, side): material.plan(one, i, side) for one, i, side in reversed(tasks) if one in ALL[::3]}
    assert few == {task: forwards[task] for task in few}

    signals = recordings()
    names = list(reversed(signals))
    signals["s9/0.wav"] = np.ones(5000)
    other = Material.__new__(Material)
    other.pool = pool_of(write(tmp_path, "speech", {name: signals[name] for name in ["s9/0.wav", *names]}))
    other.noises, other.rirs, other.seed = material.noises, material.rirs, material.seed
    line = {i: other.pool.manifest.names.index(name) for i, name in enumerate(material.pool.manifest.names)}
    other.interferers = np.zeros((len(other.pool), 2), dtype=int)
    for i, row in enumerate(material.interferers):
        other.interferers[line[i]] = [line[j] for j in row]
    for one, i, side in tasks:
        moved = other.plan(one, line[i], side)
        here = forwards[one.name, i, side]
        assert replace(moved, sources=here.sources) == here
        for theirs, ours in zip(moved.sources, here.sources, strict=True):
            assert replace(theirs, recording=ours.recording) == ours and theirs.recording == line[ours.recording]


def test_other_seeds_and_recordings_draw_other_plans(material):
    talker, noisy = Condition("t", talkers=1, sir_db=0.0), Condition("n", noise="other", snr_db=0.0)
    reseeded = Material(material.pool, material.noises, material.rirs, seed=1)
    count = len(material.pool)
    assert all(material.plan(noisy, i).noise.seed != reseeded.plan(noisy, i).noise.seed for i in range(count))
    assert any(material.plan(talker, i) != reseeded.plan(talker, i) for i in range(count))
    assert len({material.plan(noisy, i).noise.seed for i in range(count)}) == count


def test_the_two_sides_share_no_key(material, monkeypatch):
    keys = {"test": [], "enrolment": []}
    for side, seen in keys.items():
        monkeypatch.setattr(condition_plans, "generator", lambda *key, to=seen: to.append(key) or rng.generator(*key))
        for condition in ALL:
            for recording in range(len(material.pool)):
                material.plan(condition, recording, side)
    assert keys["test"] and not set(keys["test"]) & set(keys["enrolment"])
    # The draws for one recording have different keys: two interferers, two noises, the room.
    assert len(set(keys["test"])) == 5 * len(material.pool)
    plans = {side: [material.plan(BOTH, i, side) for i in range(len(material.pool))] for side in keys}
    for test, enrolment in zip(plans["test"], plans["enrolment"], strict=True):
        assert test != enrolment and test.sources[0].recording == enrolment.sources[0].recording
    with pytest.raises(ValueError, match="side is 'enrol'"):
        material.plan(BOTH, 0, "enrol")


def test_half_an_overlap_is_a_start_or_an_end(material):
    sides = Counter()
    for recording in range(len(material.pool)):
        drawn = material.plan(HALF, recording)
        for source in drawn.sources[1:]:
            half = drawn.frames // 2
            at_start = source.offset + source.frames <= half
            assert at_start or source.offset >= half
            assert source.frames == min(half, material.pool.frames[source.recording])
            if source.frames == half:
                assert source.offset in (0, half)
            sides[at_start] += 1
    assert min(sides[True], sides[False]) > len(material.pool) / 2  # at least a quarter of all


def test_interferers_lie_at_keyed_places(material):
    """A short one is anywhere in the mixture, a long one is from anywhere in its recording. Three crops to choose from."""
    talker = Condition("t", talkers=2, sir_db=0.0)
    early = late = longer = 0
    for recording in range(len(material.pool)):
        drawn = material.plan(talker, recording)
        for source in drawn.sources[1:]:
            available = int(material.pool.frames[source.recording])
            assert source.frames == min(available, drawn.frames)
            assert all(0 <= start <= available - source.frames for start in source.starts)
            if available < drawn.frames:
                assert source.starts == (0,)
                share = source.offset / (drawn.frames - available)
                early, late = early + (share < 0.5), late + (share > 0.5)
            elif available > drawn.frames:
                assert source.offset == 0 and len(source.starts) == 3
                longer += 1
    assert early > 3 and late > 3 and longer > 3


def test_talkers_stand_at_different_places_while_there_are_any(material, tmp_path):
    three = Condition("r", talkers=2, sir_db=0.0, rir=True)
    rooms = [tuple(source.rir for source in material.plan(three, i).sources) for i in range(len(material.pool))]
    assert all(len(set(places)) == 3 for places in rooms)
    assert {place for places in rooms for place in places} == set(range(7))
    for count in (1, 2):
        few = RirBank(write(tmp_path, f"rirs{count}", dict(list(room_signals().items())[:count])), RATE)
        places = [source.rir for source in Material(material.pool, material.noises, few).plan(three, 0).sources]
        assert len(places) == 3 and set(places) == set(range(count))


def test_noises_are_drawn_from_all_of_their_bank(material):
    for kind, count in (("stationary", 6), ("other", 4)):
        noisy = Condition("n", noise=kind, snr_db=0.0)
        drawn = [material.plan(noisy, i).noise for i in range(len(material.pool))]
        assert {noise.recording for noise in drawn} == set(range(count))
    long = [noise.start for noise in drawn if noise.recording == 3]  # 25 000 samples
    assert len(set(long)) == len(long) and max(long) > 8000


def test_stationary_noise_is_white_without_recordings(material):
    bare = Material(material.pool, {}, None)
    loud, faint = (Condition(f"{snr}", noise="stationary", snr_db=snr) for snr in (0.0, 20.0))
    rests = []
    for condition in (loud, faint):
        mixture = bare.render(condition, bare.plan(condition, 2))
        rests.append(mixture.samples.astype(np.float64) - mixture.sources[0])
    np.testing.assert_allclose(rests[0], 10 * rests[1], atol=1e-6)  # the same noise, 20 dB apart
    spectrum = np.square(np.abs(np.fft.rfft(rests[0])))
    quarters = [part.mean() for part in np.array_split(spectrum, 4)]
    assert max(quarters) < 1.2 * min(quarters)


def test_what_is_missing_is_told(material):
    named = {condition.name: condition for condition in STANDARD}
    bare = Material(material.pool, {}, None)
    other = r"condition 'other noise 5 dB': needs recordings of other noise, found none; .*--noise other=FILE.tsv"
    with pytest.raises(InputError, match=other):
        bare.plan(named["other noise 5 dB"], 0)
    with pytest.raises(InputError, match=r"condition 'rir': needs room impulse responses, found none; .*--rir FILE"):
        bare.plan(named["rir"], 0)
    with pytest.raises(InputError, match="condition 'rir'"):
        check_banks(STANDARD, material.noises, None)
    check_banks(STANDARD, material.noises, material.rirs)
    check_banks([named["clean"], named["stationary noise 0 dB"], HALF], {}, None)

    lonely = Material(material.pool, material.noises, material.rirs)
    lonely.interferers[3] = [7, -1]
    lonely.plan(named["talker 0 dB"], 3)
    with pytest.raises(InputError, match=r"speech.tsv:5: 1 speakers can interfere with s0/3.wav, .* needs 2; add"):
        lonely.plan(named["two talkers 0 dB"], 3)
    lonely.interferers[3] = -1
    lonely.plan(named["other noise 0 dB"], 3)
    with pytest.raises(InputError, match="0 speakers can interfere .*'talker 0 dB' needs 1"):
        lonely.plan(named["talker 0 dB"], 3)


def test_places_are_the_same_in_seconds_at_another_rate(material, tmp_path):
    """An encoder at half the rate hears the same mixtures: plans agree to a sample."""
    manifest = material.pool.manifest
    signals = {
        name: resample_poly(material.pool.crop(i, 0, int(manifest.frames[i])), 1, 2)
        for i, name in enumerate(manifest.names)
    }
    noises = {
        kind: NoiseBank(
            write(tmp_path, kind, {name: signal[::2] for name, signal in noise_signals(kind).items()}, RATE // 2),
            RATE // 2,
        )
        for kind in ("stationary", "other")
    }
    slow = Material(pool_of(write(tmp_path, "speech", signals, RATE // 2), RATE // 2), noises, material.rirs)
    for condition in ALL:
        for recording in range(len(slow.pool)):
            here, there = material.plan(condition, recording), slow.plan(condition, recording, longest=LONGEST // 2)
            assert here.frames == pytest.approx(2 * there.frames, abs=2)
            for ours, theirs in zip(here.sources, there.sources, strict=True):
                assert (ours.recording, ours.sir_db, ours.rir) == (theirs.recording, theirs.sir_db, theirs.rir)
                numbers = [(*source.starts, source.offset, source.frames) for source in (ours, theirs)]
                np.testing.assert_allclose(numbers[0], 2 * np.array(numbers[1]), atol=3)
            if here.noise:
                assert here.noise.recording == there.noise.recording
                assert here.noise.start == pytest.approx(2 * there.noise.start, abs=3)
