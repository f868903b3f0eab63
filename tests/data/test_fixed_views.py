"""Views of fixed mixtures: whose parts they are, who is in them, and the data set that is made of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data.fixed_mixture_dataset import FixedMixtureDataset
from csc_fairseq.data.fixed_mixtures import FixedMixtures, read_fixed_mixtures
from csc_fairseq.data.fixed_views import FixedViews, source_labels
from csc_fairseq.data.mixing_plans import MixingOptions
from csc_fairseq.data.rng import generator
from tests.making import fails, voice, write_recording, write_recordings

VIEW = 3000
OPTIONS = MixingOptions(view_frames=VIEW)
TABLE = {"ann": 0, "ben": 1}


@pytest.fixture
def make_mixtures(tmp_path: Path) -> Callable[..., FixedMixtures]:
    """make_mixtures(["ann", "ben"], ...): a mixture of half a second for each pair, with faint noise."""

    def make(*talkers: list[str], frames: int = 8000) -> FixedMixtures:
        mixed, sources = {}, []
        for number, names in enumerate(talkers):
            voices = [0.5 * voice(ord(name[0]), number, frames / 16000) for name in names]
            for place, samples in enumerate(voices):
                write_recording(tmp_path / "audio" / f"s{place}" / f"{number}.wav", samples)
            noise = 1e-3 * np.random.default_rng(number).standard_normal(frames).astype(np.float32)
            mixed[f"{number}.wav"] = sum(voices) + noise
            sources.append("\t".join(f"s{place}/{number}.wav" for place in range(len(names))))
        path = write_recordings(tmp_path / "mixed.tsv", mixed, root=tmp_path / "audio").path
        path.with_suffix(".sources").write_text("".join(f"{line}\n" for line in sources))
        path.with_suffix(".speakers").write_text("".join("\t".join(names) + "\n" for names in talkers))
        return read_fixed_mixtures(path)

    return make


def views_of(mixtures: FixedMixtures, options: MixingOptions = OPTIONS, level: str = "speaker", **others) -> FixedViews:
    return FixedViews(mixtures, source_labels(mixtures, level), TABLE, options, **others)


def test_a_view_is_a_part_of_its_mixture_at_the_level_of_targets(make_mixtures):
    mixtures = make_mixtures(["ann", "ben"], ["cy", "ann"])
    views = views_of(mixtures)
    for seed in range(4):
        for plan in views.draw(seed % 2, generator(seed)):
            view = views.render(plan)
            samples, sources = mixtures.load(plan.mixture, 16000)
            target = view.sources[view.target_slot]
            assert np.sqrt(np.mean(np.square(target, dtype=np.float64))) == pytest.approx(0.05, rel=1e-4)
            fits = []
            for start in plan.starts:  # one of the candidates, centred and scaled
                part = np.vstack([samples, sources])[:, start : start + VIEW]
                part = part - part.mean(axis=1, keepdims=True)
                gain = 0.05 / part[1 + plan.target].std()
                heard = np.vstack([view.samples, view.sources[list(plan.order)]])
                fits.append(np.abs(heard - gain * part).max())
            assert min(fits) < 1e-6
            labels = [list(mixtures.speakers)[2 * plan.mixture + source] for source in (0, 1)]
            assert [view.identities[slot] for slot in plan.order] == [TABLE.get(label, -1) for label in labels]
            assert [view.recordings[slot] for slot in plan.order] == [2 * plan.mixture, 2 * plan.mixture + 1]


def test_further_views_are_of_other_mixtures_of_the_talker_and_then_of_other_parts(make_mixtures):
    """Ann is in two mixtures, Ben and Cy in one each."""
    mixtures = make_mixtures(["ann", "ben"], ["cy", "ann"], frames=10000)
    found = {}
    for seed in range(30):
        first, second, third = views_of(mixtures, replace(OPTIONS, views=3)).draw(0, generator(seed))
        speakers = {list(mixtures.speakers)[2 * plan.mixture + plan.target] for plan in (first, second, third)}
        assert len(speakers) == 1 and first.mixture == 0
        found[speakers.pop()] = [plan.mixture for plan in (first, second, third)]
        for one, other in ((first, second), (first, third), (second, third)):
            if one.mixture == other.mixture:
                spans = [(min(plan.starts), max(plan.starts) + plan.frames) for plan in (one, other)]
                assert spans[0][1] <= spans[1][0] or spans[1][1] <= spans[0][0]
    assert found == {"ann": [0, 1, 0], "ben": [0, 0, 0]}
    views = views_of(mixtures, level="utterance")  # where nobody is known, all views are of one mixture
    assert {plan.mixture for seed in range(9) for plan in views.draw(1, generator(seed))} == {1}
    assert (views.sources.identities == -1).all()


def test_shorter_mixtures_and_fewer_talkers_than_slots(make_mixtures):
    views = views_of(make_mixtures(["ann", "ben"]), replace(OPTIONS, view_frames=6000, sources=3, views=2))
    for plan in views.draw(0, generator(1)):
        view = views.render(plan)
        assert plan.frames == 4000 and view.samples.shape == (6000,) and view.sources.shape == (3, 6000)
        assert view.present.sum() == 2 and (view.recordings[~view.present] == -1).all()
        assert not view.samples[: plan.offset].any() and not view.samples[plan.offset + 4000 :].any()


def test_who_is_silent_is_absent(make_mixtures, tmp_path):
    mixtures = make_mixtures(["ann", "ben"])
    path = write_recording(tmp_path / "audio/s1/0.wav", np.zeros(8000))
    views = views_of(mixtures, replace(OPTIONS, views=1))
    (plan,) = next(plans for seed in range(9) if (plans := views.draw(0, generator(seed)))[0].target == 0)
    view = views.render(plan)
    assert view.present.tolist() == [slot == view.target_slot for slot in range(2)]
    assert not view.sources[1 - view.target_slot].any()
    message = fails(views.render, replace(plan, target=1))
    assert message.startswith(f"{path}: silent in the 3000 samples") and message.endswith("mixed.tsv:2")


def test_what_does_not_fit(make_mixtures):
    mixtures = make_mixtures(["ann", "ben", "cy"], frames=4000)
    message = fails(views_of, mixtures)
    assert "mixtures have 3 sources, more than task.sources=2; set task.sources=3" in message
    message = fails(views_of, mixtures, replace(OPTIONS, sources=3, views=2))
    assert message.startswith(
        f"{mixtures.manifest.path}:2: lasts 0.25 s, too short for 2 disjoint views, expected 0.19 s"
    )
    mixtures.manifest.path.with_suffix(".speakers").unlink()
    message = fails(source_labels, read_fixed_mixtures(mixtures.manifest.path), "speaker")
    assert ".speakers: no such file" in message and "task.identity=utterance" in message


def test_a_data_set_of_fixed_mixtures(make_mixtures):
    mixtures = make_mixtures(["ann", "ben"], ["cy", "ann"], ["ann", "ben"])
    dataset = FixedMixtureDataset(mixtures, views_of(mixtures), 1, "valid", fixed=True, indices=[0, 2])
    # Of six talkers five have a row: ann three times, ben twice.
    assert dataset.prior_entropy == pytest.approx(-0.6 * np.log(0.6) - 0.4 * np.log(0.4))
    assert len(dataset) == 2 and [dataset.plans(item)[0].mixture for item in (0, 1)] == [0, 2]
    batch = dataset.collater([dataset[0], dataset[1]])
    assert batch["net_input"]["source"].shape == (4, VIEW) and batch["sources"].shape == (4, 2, VIEW)
    talkers, identities = batch["talkers"].numpy(), batch["identities"].numpy()
    assert set(zip(talkers.ravel(), identities.ravel(), strict=True)) <= {(0, 0), (1, 1), (2, -1)}
    assert (batch["net_input"]["recordings"] >= 0).all() and batch["present"].all()
    assert dataset.talker(3) == ("ann", "s1/1.wav")
    dataset.set_epoch(2)
    np.testing.assert_array_equal(
        dataset.collater([dataset[0]])["net_input"]["source"], batch["net_input"]["source"][:2]
    )
    training = FixedMixtureDataset(mixtures, views_of(mixtures), 1, "train")
    first = [training.plans(item) for item in range(3)]
    training.set_epoch(2)
    assert [training.plans(item) for item in range(3)] != first
