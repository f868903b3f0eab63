from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from csc_fairseq.data.augment import NoiseBank, RirBank
from csc_fairseq.data.identities import sampling_entropy
from csc_fairseq.data.mixing_plans import MixingOptions, MixingPlan, SourcePlan, check_pool, draw_plans
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError

VIEW = 8000
OPTIONS = MixingOptions(view_frames=VIEW)
LONG = [[12000, 16000, 9000], [16000, 12000, 16000], [20000, 9000, 12000], [16000, 16000, 16000]]


def draw_many(options, pool, count, **banks):
    """Plans of `count` items, with one target after the other; (target, plan) for every view."""
    for key in range(count):
        target = key % len(pool)
        for plan in draw_plans(options, pool, target, generator("test", key), **banks):
            yield target, plan


# Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("views", 0),
        ("sources", 0),
        ("crop_candidates", 0),
        ("view_frames", -1),
        ("single_talker_share", 1.1),
        ("noise_probability", -0.1),
        ("rir_probability", float("nan")),
        ("sir_db", (5, -5)),
        ("noise_snr_db", (0, float("inf"))),
        ("sir_db", (1, 2, 3)),
        ("single_talker_share_start", 0.5),  # without curriculum_epochs
    ],
)
def test_impossible_options_are_named(name, value):
    with pytest.raises(InputError, match=name):
        MixingOptions(**{name: value})


def test_curriculum_is_linear_in_the_epoch():
    options = MixingOptions(single_talker_share=0.3, single_talker_share_start=0.9, curriculum_epochs=4)
    shares = [options.single_talker_share_at(epoch) for epoch in range(1, 8)]
    assert shares == pytest.approx([0.9, 0.75, 0.6, 0.45, 0.3, 0.3, 0.3])


def test_without_a_start_the_share_is_constant():
    assert [MixingOptions(curriculum_epochs=4).single_talker_share_at(epoch) for epoch in (1, 2, 9)] == [0.3] * 3


# Drawing


@pytest.mark.parametrize("known", [None, 1, 0])
def test_interferers_never_share_the_target_identity(make_pool, known):
    pool = make_pool(LONG, known=known)
    options = replace(OPTIONS, sources=3, single_talker_share=0)
    heard = Counter()
    for target, plan in draw_many(options, pool, 400):
        groups = pool.groups[[source.recording for source in plan.sources]].tolist()
        assert len(set(groups)) == 3
        assert groups[0] == pool.groups[target]
        heard[groups[0]] += 0
        heard.update((groups[0], other) for other in groups[1:])
        for source in plan.sources:
            assert source.identity == pool.identities[source.recording]
    pairs = [count for pair, count in heard.items() if isinstance(pair, tuple)]
    assert len(pairs) == 4 * 3  # every identity meets every other
    assert max(pairs) < 1.4 * min(pairs)


def test_known_identities_have_their_row_others_none(make_pool):
    assert make_pool(LONG, known=2).identities.tolist() == [0, 0, 0, 1, 1, 1] + [-1] * 6


def test_talkers_interfere_as_often_as_they_have_speech(make_pool):
    """Speech of 1:2:6. The others interfere with the first 1:3, however their speech is distributed over recordings."""
    pool = make_pool([[9000], [9000, 9000], [30000, 24000]])
    options = replace(OPTIONS, views=1, single_talker_share=0)
    plans = [draw_plans(options, pool, 0, generator(key))[0] for key in range(600)]
    recordings = Counter(plan.sources[1].recording for plan in plans)
    assert set(recordings) == {1, 2, 3, 4}
    assert (recordings[1] + recordings[2]) / 600 == pytest.approx(0.25, abs=0.06)
    assert recordings[3] / (recordings[3] + recordings[4]) == pytest.approx(30 / 54, abs=0.07)


def test_entropy_of_the_talkers_is_that_of_the_draws(make_pool):
    """The formula against many draws: all targets in turn, identities with unequal recordings and speech."""
    pool = make_pool([[20000], [9000] * 3, [30000, 24000], [8000, 12000]])
    options = replace(OPTIONS, single_talker_share=0.3)
    heard = Counter(
        pool.groups[source.recording] for _, plan in draw_many(options, pool, 4000) for source in plan.sources
    )
    shares = np.array(list(heard.values())) / heard.total()
    found = sampling_entropy(pool.groups, pool.frames, np.ones(len(pool)), np.ones(4, dtype=bool), 2, 0.3)
    assert found == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.01)


def test_interferers_of_the_same_domain(make_pool):
    """Recordings of spk0, spk1 and spk2 are of one corpus, in shares of 1:2:3; spk3 is alone in another, so anybody interferes."""
    lengths = [[9000], [9000, 9000], [27000], [18000]]
    pool = make_pool(lengths, domain_labels=["a", "a", "a", "a", "b"])
    options = replace(OPTIONS, views=1, single_talker_share=0, same_domain_share=0.75)
    heard = {target: Counter(draw_plans(options, pool, target, generator(key))[0].sources[1].recording for key in range(800))
             for target in (0, 4)}  # fmt: skip
    assert heard[0][4] / 800 == pytest.approx(0.25 * 18 / 63, abs=0.03)
    assert heard[0][3] / (heard[0][1] + heard[0][2]) == pytest.approx(1.5, abs=0.25)
    assert set(heard[4]) == {0, 1, 2, 3}


def test_without_a_share_domains_change_nothing(make_pool):
    plain, divided = make_pool(LONG), make_pool(LONG, domain_labels=["a", "b"] * 6)
    for key in range(20):
        assert draw_plans(OPTIONS, plain, 4, generator(key)) == draw_plans(OPTIONS, divided, 4, generator(key))


def test_interferers_are_as_likely_as_their_weight_says(make_pool):
    """Of recordings that are equally long: 4 of 6 times that of domain b. Within the target's domain weights have no effect."""
    pool = make_pool([[9000]] * 4, domain_labels=["a", "a", "b", "c"], domain_weights={"b": 4.0})
    options = replace(OPTIONS, views=1, single_talker_share=0)

    def heard(options: MixingOptions) -> Counter:
        drawn = (draw_plans(options, pool, 0, generator(key))[0].sources[1].recording for key in range(600))
        return Counter(drawn)

    shares = heard(options)
    assert shares[2] / 600 == pytest.approx(4 / 6, abs=0.05) and shares[1] / 600 == pytest.approx(1 / 6, abs=0.05)
    assert set(heard(replace(options, same_domain_share=1.0))) == {1}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 2.0, "vox": 1.0}, "'vox', which is no domain there; expected some of 'a', 'b'"),
        ({"a": 0.0}, "'a' is 0.0, expected 0.01 to 100; to leave a corpus out"),
        ({"a": float("nan")}, "'a' is nan"),
    ],
)
def test_weights_that_make_no_sense(make_pool, weights, expected):
    with pytest.raises(InputError, match=f"speech.tsv: task.domain_weights .*{expected}"):
        make_pool([[9000], [9000]], domain_labels=["a", "b"], domain_weights=weights)


def test_views_use_different_recordings_of_the_identity(make_pool):
    pool = make_pool(LONG)
    seen = set()
    for key in range(60):
        first, second = draw_plans(OPTIONS, pool, 4, generator(key))
        assert first.sources[first.target].recording == 4
        seen.add(second.sources[second.target].recording)
    assert seen == {3, 5}


def test_views_of_one_recording_are_disjoint(make_pool):
    pool = make_pool([[40000], [17000], [24000], [13001]], level="utterance")
    options = replace(OPTIONS, views=3, crop_candidates=4)
    starts = set()
    for key in range(200):
        target = key % 4
        plans = draw_plans(options, pool, target, generator(key))
        views = [plan.sources[0] for plan in plans]
        length = min(VIEW, int(pool.frames[target]) // 3)
        assert [(view.recording, view.frames) for view in views] == [(target, length)] * 3
        reach = sorted((min(view.starts), max(view.starts) + view.frames) for view in views)  # all candidates
        assert reach[0][0] >= 0
        assert reach[-1][1] <= pool.frames[target]
        assert all(end <= start for (_, end), (start, _) in zip(reach, reach[1:], strict=False))
        starts.add(views[0].starts[0] // 8000 if target == 0 else 0)
    assert len(starts) >= 4  # the first view may come from anywhere in the recording


def test_more_views_than_recordings_reuse_them_without_overlap(make_pool):
    pool = make_pool([[20000, 20000], [9000]])
    options = replace(OPTIONS, views=3)
    for key in range(100):
        views = [plan.sources[0] for plan in draw_plans(options, pool, 0, generator(key))]
        assert [view.recording for view in views] == [0, 1, 0]
        first, third = sorted((views[0], views[2]), key=lambda view: min(view.starts))
        assert max(first.starts) + first.frames <= min(third.starts)


def test_independent_conditions_per_view(make_pool):
    pool = make_pool(LONG)
    options = replace(OPTIONS, single_talker_share=0, noise_probability=1)
    first, second = draw_plans(options, pool, 0, generator(0))
    assert first.sources[1].sir_db != second.sources[1].sir_db
    assert first.noise.snr_db != second.noise.snr_db


def test_half_of_the_talkers_are_turned_upside_down(make_pool):
    """Talkers of one mixture independently of each other; nobody, if that is not asked for."""
    plans = [plan for _, plan in draw_many(replace(OPTIONS, single_talker_share=0.0), make_pool(LONG), 400)]
    signs = np.array([[source.sign for source in plan.sources] for plan in plans])
    assert set(signs.ravel()) == {-1, 1}
    assert np.abs(signs.mean(0)).max() < 0.12 and abs(signs.prod(1).mean()) < 0.12
    plain = replace(OPTIONS, random_sign=False)
    assert all(source.sign == 1 for _, plan in draw_many(plain, make_pool(LONG), 40) for source in plan.sources)


def test_short_recordings_lie_at_random_offsets(make_pool):
    pool = make_pool([[9000], [5000]])
    sources = [plan.sources[1] for _, plan in draw_many(replace(OPTIONS, views=1, single_talker_share=0), pool, 100)]
    short = [source for source in sources if source.recording == 1]
    assert {(source.starts, source.frames) for source in short} == {((0,), 5000)}
    offsets = [source.offset for source in short]
    assert 0 <= min(offsets) < 600
    assert 2400 < max(offsets) <= 3000
    assert all(len(source.starts) == 3 for source in sources if source.recording == 0)


def test_shares_and_ranges(make_pool, make_manifest):
    pool = make_pool(LONG)
    noise = NoiseBank(make_manifest("noise", {"a.wav": np.ones(9000), "b.wav": np.ones(100)}), 16000)
    rirs = RirBank(make_manifest("rir", {f"{i}.wav": np.ones(10) for i in range(3)}), 16000)
    plans = [plan for _, plan in draw_many(OPTIONS, pool, 600, noise=noise, rirs=rirs)]
    single = [plan for plan in plans if len(plan.sources) == 1]
    assert len(single) / 1200 == pytest.approx(0.3, abs=0.05)
    assert np.mean([plan.noise is not None for plan in plans]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([plan.sources[0].rir >= 0 for plan in plans]) == pytest.approx(0.3, abs=0.05)
    slots = Counter(plan.order for plan in plans)
    assert set(slots) == {(0,), (1,), (0, 1), (1, 0)}
    assert slots[0, 1] / (slots[0, 1] + slots[1, 0]) == pytest.approx(0.5, abs=0.06)
    sirs = [plan.sources[1].sir_db for plan in plans if len(plan.sources) == 2]
    snrs = [plan.noise.snr_db for plan in plans if plan.noise]
    assert (round(min(sirs)), round(max(sirs))) == (-5, 5)
    assert (round(min(snrs)), round(max(snrs))) == (0, 20)
    assert all(source.sir_db == 0 for plan in plans for source in plan.sources[:1])
    assert {plan.noise.recording for plan in plans if plan.noise} == {0, 1}
    assert max(plan.noise.start for plan in plans if plan.noise) <= 1000
    for plan in plans:
        used = [source.rir for source in plan.sources]
        assert used == [-1] * len(used) or (len(set(used)) == len(used) and set(used) <= {0, 1, 2})


def test_share_of_single_talkers_can_be_given_per_epoch(make_pool):
    pool = make_pool(LONG)
    for share, talkers in ((0.0, 2), (1.0, 1)):
        plans = draw_many(OPTIONS, pool, 30, single_talker_share=share)
        assert {len(plan.sources) for _, plan in plans} == {talkers}


def test_without_noise_recordings_noise_is_white_and_without_rirs_rooms_are_dry(make_pool):
    options = replace(OPTIONS, noise_probability=1, rir_probability=1)
    for _, plan in draw_many(options, make_pool(LONG), 10):
        assert plan.noise.recording == -1
        assert {source.rir for source in plan.sources} == {-1}


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"order": (0, 0)}, "order"), ({"order": (0, 2)}, "order"), ({"order": (0,)}, "order"), ({"frames": 99}, "fit")],
)
def test_plans_made_by_hand_are_checked(changes, place):
    sources = (SourcePlan(0, 0, (0,), 100), SourcePlan(1, 1, (0,), 50, offset=50))
    plan = MixingPlan(100, sources, 0, 2, (1, 0))
    with pytest.raises(ValueError, match=place):
        replace(plan, **changes)


# Pools that do not suffice


def test_one_identity_is_too_few(make_pool):
    with pytest.raises(InputError, match=r"speech\.tsv: .* 1 identity \('spk0'\), expected at least 2"):
        check_pool(OPTIONS, make_pool([[9000, 9000]]))


def test_view_longer_than_any_recording(make_pool):
    with pytest.raises(InputError, match=r"speech\.tsv: .*0\.75 s, expected at least .*0\.80 s.*view_seconds to 0\.75"):
        check_pool(replace(OPTIONS, view_frames=12800), make_pool([[12000], [9000]]))


def test_no_room_for_disjoint_views_names_the_line(make_pool):
    pool = make_pool([[9000, 100], [9000], [7999]])
    check_pool(replace(OPTIONS, views=1), pool)
    with pytest.raises(InputError, match=r"speech\.tsv:5: spk2/0\.wav lasts 0\.50 s.* 2 disjoint views.*0\.25 s"):
        check_pool(OPTIONS, pool)


def test_two_sample_rates(make_pool):
    with pytest.raises(InputError, match="16000 Hz but mixed at 8000 Hz"):
        check_pool(replace(OPTIONS, sample_rate=8000), make_pool(LONG))


def test_labels_of_another_length(make_pool):
    pool = make_pool(LONG)
    with pytest.raises(InputError, match="12 recordings but .* 11 labels"):
        RecordingPool(pool.manifest, ["a"] * 11, {}, 16000)
