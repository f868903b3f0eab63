"""What an evaluation runs on: files read and compared in one place, kinds of trials by hand, and bootstraps that are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csc_fairseq.data.manifest import read_labels, read_manifest, write_labels
from csc_fairseq.errors import InputError
from csc_fairseq.verification.evaluation import evaluation_set
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet, LabelledTrials, read_sets
from csc_fairseq.verification.trials.trial_list import TrialList
from tests.verification.evaluation.coloured import write_speech


@pytest.fixture
def options(data: Path, tmp_path: Path) -> BenchmarkOptions:
    return BenchmarkOptions(("mfcc",), data / "test.tsv", tmp_path / "out", seed=2)


def test_sets_hold_what_was_asked_for(options, data):
    others = {"dev": data / "dev.tsv", "cohort": data / "cohort.tsv", "rir": data / "rir.tsv"}
    noises, groups = {"other": data / "noise.tsv"}, {"speaker_table": data / "table.tsv", "groups": ("gender",)}
    sets = read_sets(replace(options, **others, **groups, noises=noises, seconds=0.35))
    test, development, cohort = sets
    assert [one.manifest.path for one in sets] == [data / f"{name}.tsv" for name in ("test", "dev", "cohort")]
    for one in sets:
        assert list(one.labelled.speakers) == read_labels(one.manifest, "spk")
        assert (one.noises["other"].path, one.rir.path) == (data / "noise.tsv", data / "rir.tsv")
        assert (one.seconds, one.seed) == (0.35, 2)
        assert one.material(8000).longest == 2800
    for one in (test, development):
        expected = LabelledTrials.all_pairs(one.manifest, 2).trials
        np.testing.assert_array_equal(one.trials.test, expected.test)
        np.testing.assert_array_equal(one.trials.interferers, expected.interferers)
    assert len(cohort.trials.enrol) == 0 and (cohort.trials.interferers < 0).all()
    assert cohort.compared() == list(range(len(cohort.manifest)))
    assert set(test.labelled.attributes) == {"gender"} and not development.labelled.attributes
    genders = {speaker: "fm"[int(speaker[1:]) % 2] for speaker in test.speakers}
    assert list(test.labelled.attributes["gender"]) == [genders[speaker] for speaker in test.labelled.speakers]
    alone = read_sets(options)
    assert (alone.development, alone.cohort, alone.test.noises, alone.test.rir) == (None, None, {}, None)


def test_speakers_are_compared_before_trials_are_drawn(options, data, tmp_path, monkeypatch):
    """Drawing takes long where there are many recordings. `force` lifts what is said of the training alone."""
    monkeypatch.setattr(evaluation_set, "labelled_trials", lambda *_: pytest.fail("trials were drawn"))
    shared = write_speech(tmp_path, "shared", 3, first=4)
    message = "test.tsv: 2 of its 6 speakers are those of .*shared.tsv too .s4, ….; "
    for changes in ({"dev": shared}, {"cohort": shared}, {"dev": shared, "force": True}):
        with pytest.raises(InputError, match=message + ".* choose others$"):
            read_sets(replace(options, **changes))
    with pytest.raises(InputError, match=message + ".* choose others, or --force$"):
        read_sets(replace(options, train=shared))
    with pytest.raises(InputError, match="dev.tsv: 5 of its 5 speakers are those of .*dev.tsv too"):
        read_sets(replace(options, dev=data / "dev.tsv", train=data / "dev.tsv"))


def test_the_training_is_not_read_where_it_does_not_matter(options, tmp_path):
    with pytest.raises(InputError, match="gone.tsv: cannot be read"):
        read_sets(replace(options, train=tmp_path / "gone.tsv"))
    assert read_sets(replace(options, train=tmp_path / "gone.tsv", force=True)).test.speakers == {
        f"s{i}" for i in range(6)
    }


def test_development_trials_are_as_many_as_needed(data, monkeypatch):
    monkeypatch.setattr(evaluation_set, "DEVELOPMENT_TRIALS", 20)
    manifest = read_manifest(data / "dev.tsv")
    drawn = LabelledTrials.development(manifest, 0).trials
    every = LabelledTrials.all_pairs(manifest, 0).trials
    assert len(drawn.targets) == 20 < len(every.targets) and int(drawn.targets.sum()) == 10
    monkeypatch.setattr(evaluation_set, "DEVELOPMENT_TRIALS", 10**6)
    np.testing.assert_array_equal(LabelledTrials.development(manifest, 0).trials.enrol, every.enrol)


def test_labels_stay_with_their_recordings(data):
    """Speakers in the manifest's order, whatever the order of their names."""
    manifest = read_manifest(data / "dev.tsv")
    material = EvaluationSet(manifest, LabelledTrials.none(manifest), 0.1, 0).material(8000)
    assert material.longest == 800 and material.pool.sample_rate == 8000
    assert [material.pool.group_labels[group] for group in material.pool.groups] == read_labels(manifest, "spk")


def test_one_session_a_speaker_leaves_all_trials(data, tmp_path):
    """`csc evaluate` has no option to allow trials within a session, and needs none."""
    manifest = read_manifest(write_speech(tmp_path, "own", 6))
    write_labels(manifest.path.with_suffix(".session"), read_labels(manifest, "spk"))
    found, expected = (LabelledTrials.all_pairs(one, 0).trials for one in (manifest, read_manifest(data / "test.tsv")))
    np.testing.assert_array_equal(found.test, expected.test)


def test_kinds_of_trials_by_hand():
    """Speakers a, b (women), c (a man) and d (unknown), one recording each, and one more of a and c."""
    speakers, genders = np.array(list("abcdac")), np.array(["f", "f", "m", "", "f", "m"])
    pairs = [(0, 4, True), (0, 1, False), (0, 2, False), (0, 3, False), (2, 5, True), (2, 1, False), (3, 0, False)]
    enrol, test, targets = (np.array(column) for column in zip(*pairs, strict=True))
    trials = TrialList(tuple((i,) for i in range(6)), enrol, test, targets, np.full((6, 2), -1))
    labelled = LabelledTrials(trials, speakers, {"gender": genders})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_set, "FEWEST", 1)
        kinds = {name: np.flatnonzero(mask).tolist() for name, mask in labelled.group_masks().items()}
        # Of two men only c is there, so that "gender=m" has no non-targets.
        assert kinds == {"same gender": [0, 1, 4], "cross gender": [0, 2, 4, 5], "gender=f": [0, 1]}
        patch.setattr(evaluation_set, "FEWEST", 2)
        assert list(labelled.group_masks()) == ["same gender", "cross gender"]
        patch.setattr(evaluation_set, "FEWEST", 3)
        assert labelled.group_masks() == {}


def test_bootstraps_are_kept_for_their_own_trials(data):
    labelled = LabelledTrials.all_pairs(read_manifest(data / "test.tsv"), 0)
    chosen = np.ones(len(labelled.trials.targets), dtype=bool)
    first = labelled.bootstrap(chosen, 20, 0)
    assert labelled.bootstrap(chosen.copy(), 20, 0) is first
    other = replace(labelled, trials=replace(labelled.trials, test=labelled.trials.test.copy()))
    for another in (
        labelled.bootstrap(chosen, 20, 1),
        labelled.bootstrap(chosen, 21, 0),
        labelled.bootstrap(np.arange(len(chosen)) > 3, 20, 0),
        other.bootstrap(chosen, 20, 0),
    ):
        assert another is not first
