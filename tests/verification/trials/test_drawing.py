"""Lists of trials: pairs by hand and by a second implementation, the forms of files, and one line for each error."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from csc_fairseq.data.manifest import read_manifest, write_labels, write_manifest
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError
from csc_fairseq.verification.trials import drawing as module
from csc_fairseq.verification.trials.drawing import TrialOptions, build_trials
from csc_fairseq.verification.trials.speaker_attributes import read_speaker_attributes
from csc_fairseq.verification.trials.trial_file import enrolments_path, read_trials, write_trials
from csc_fairseq.verification.trials.trial_list import assign_interferers

SPEAKERS = [speaker for speaker in "ABCDE" for _ in range(4)]  # recordings 0–3 are of A, 4–7 of B, …
SESSIONS = [session for _ in "ABCDE" for session in "xxyy"]
GENDERS = {"A": "f", "B": "f", "C": "m", "D": "m", "E": ""}


def pairs_of(trials):
    """Sorted (model's recordings, test, target)."""
    columns = (trials.enrol.tolist(), trials.test.tolist(), trials.targets.tolist())
    return sorted((trials.models[model], test, target) for model, test, target in zip(*columns, strict=True))


def written_out(models, interferers, speakers=SPEAKERS, sessions=None, allowed=lambda enrolled, tested: True):
    """The same pairs by a second implementation, one pair at a time."""
    pairs = []
    for model, test in product(models, range(len(speakers))):
        enrolled, tested = speakers[model[0]], speakers[test]
        if test in model or enrolled in [speakers[other] for other in interferers[test] if other >= 0]:
            continue
        if enrolled == tested and sessions and sessions[test] in [sessions[recording] for recording in model]:
            continue
        if allowed(enrolled, tested):
            pairs.append((model, test, enrolled == tested))
    return sorted(pairs)


def test_all_pairs_by_hand(monkeypatch):
    """Speakers A A B C; B interferes with recordings 0 and 1, C with 2, A with 3."""
    interferers = np.array([[2, -1], [2, -1], [3, -1], [0, -1]])
    monkeypatch.setattr(module, "assign_interferers", lambda speakers, seed: interferers)
    trials = build_trials(["A", "A", "B", "C"])
    assert trials.models == ((0,), (1,), (2,), (3,)) and trials.interferers is interferers
    pairs = list(zip(trials.enrol.tolist(), trials.test.tolist(), trials.targets.tolist(), strict=True))
    # All 12 ordered pairs but (2, 0), (2, 1), (3, 2), (0, 3), (1, 3): there the enrolled speaker interferes.
    assert pairs == [
        (0, 1, True),
        (0, 2, False),
        (1, 0, True),
        (1, 2, False),
        (2, 3, False),
        (3, 0, False),
        (3, 1, False),
    ]


@pytest.mark.parametrize("block", [4_000_000, 50])
@pytest.mark.parametrize("utterances", [1, 2, 3])
@pytest.mark.parametrize("sessions", [None, SESSIONS])
def test_all_pairs_written_out(monkeypatch, utterances, sessions, block):
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", block)
    options = TrialOptions(enrol_utterances=utterances)
    if sessions and utterances == 3:  # a session has two recordings, so models of three use both sessions
        with pytest.raises(InputError, match="no target trial across sessions.*--allow-same-session"):
            build_trials(SPEAKERS, sessions, options=options)
        sessions, options = None, TrialOptions(enrol_utterances=3, same_session=True)
    trials = build_trials(SPEAKERS, sessions, options=options, seed=5)
    assert all(len({SPEAKERS[recording] for recording in model}) == 1 for model in trials.models)
    taken = [recording for model in trials.models for recording in model]
    assert len(set(taken)) == len(taken) == {1: 20, 2: 20, 3: 15}[utterances]
    assert pairs_of(trials) == written_out(trials.models, trials.interferers, sessions=sessions)
    if sessions and utterances == 2:
        assert all(sessions[first] == sessions[second] for first, second in trials.models)
    assert (trials.names == ()) == (utterances == 1)


def test_models_of_several_recordings_depend_on_their_speaker_alone():
    options = TrialOptions(enrol_utterances=2)
    trials = build_trials(SPEAKERS, options=options, seed=1)
    assert trials.names[:4] == ("A-1", "A-2", "B-1", "B-2")
    fewer = build_trials(SPEAKERS[:16], options=options, seed=1)
    assert fewer.models == trials.models[:8]
    assert build_trials(SPEAKERS, options=options, seed=2).models != trials.models


def genders():
    return {"gender": np.array([GENDERS[speaker] for speaker in SPEAKERS])}


@pytest.mark.parametrize("kind", ["same", "cross"])
def test_groups_of_nontargets(kind):
    trials = build_trials(SPEAKERS, attributes=genders(), options=TrialOptions(**{kind: ("gender",)}), seed=3)

    def allowed(enrolled, tested):
        one, other = GENDERS[enrolled], GENDERS[tested]
        known = one != "" and other != ""
        return known and (enrolled == tested or (one == other) == (kind == "same"))

    every = build_trials(SPEAKERS, seed=3)
    assert pairs_of(trials) == written_out(every.models, every.interferers, allowed=allowed)
    np.testing.assert_array_equal(trials.interferers, every.interferers)  # E interferes, though in no trial
    assert trials.targets.sum() == 4 * 4 * 3


def test_one_group_only():
    options = TrialOptions(only=(("gender", "f"),))
    trials = build_trials(SPEAKERS, attributes=genders(), options=options, seed=1)
    every = build_trials(SPEAKERS, seed=1)
    assert pairs_of(trials) == [row for row in pairs_of(every) if row[0][0] < 8 and row[1] < 8]
    with pytest.raises(InputError, match="no speaker has gender=x; expected one of f, m"):
        build_trials(SPEAKERS, attributes=genders(), options=TrialOptions(only=(("gender", "x"),)))
    with pytest.raises(InputError, match="'age'; expected one of gender"):
        build_trials(SPEAKERS, attributes=genders(), options=TrialOptions(same=("age",)))


@pytest.mark.parametrize("at_once", [37, 4_000_000])
def test_targets_drawn_evenly_over_speakers(monkeypatch, at_once):
    """A has 20 recordings and 380 of the 408 target pairs, but gives no more than B does; C and D give all they have."""
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", at_once)
    speakers = ["A", "B", "C", "A", "B"] + ["A"] * 18 + ["C"] + ["B"] * 3 + ["D"] * 3
    drawn = [
        build_trials(speakers, options=TrialOptions(sample=56, even_targets=True), seed=seed) for seed in (1, 1, 2)
    ]
    for trials in drawn:
        enrolled = [speakers[trials.models[model][0]] for model in trials.enrol[trials.targets]]
        assert [enrolled.count(name) for name in "ABCD"] == [10, 10, 2, 6]
        assert all(speakers[test] == name for test, name in zip(trials.test[trials.targets], enrolled, strict=True))
        assert len(set(pairs_of(trials))) == 56
    assert pairs_of(drawn[0]) == pairs_of(drawn[1]) != pairs_of(drawn[2])


@pytest.mark.parametrize("block", [4_000_000, 90])
@pytest.mark.parametrize(("sample", "targets"), [(10_000, 60), (100, 50), (180, 60), (7, 3), (2, 1)])
def test_samples_are_keyed_parts_of_all_pairs(monkeypatch, sample, targets, block):
    whole = pairs_of(build_trials(SPEAKERS, seed=2))
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", block)
    options = TrialOptions(sample=sample)
    trials, again, other = (build_trials(SPEAKERS, options=options, seed=seed) for seed in (2, 2, 4))
    assert (len(trials.enrol), trials.targets.sum()) == (min(sample, len(whole)), targets)
    assert set(pairs_of(trials)) <= set(whole) and len(set(pairs_of(trials))) == len(trials.enrol)
    assert pairs_of(trials) == pairs_of(again) != pairs_of(other)
    assert sorted(set(trials.enrol.tolist())) == list(range(len(trials.models)))  # no model without trials


@pytest.mark.parametrize(("quota", "count"), [(2, 8), (4, 8), (5, 8), (8, 8), (0, 3)])
def test_drawn_ranks_are_uniform(quota, count):
    drawn = np.array([module._ranks(quota, count, generator("ranks", i)) for i in range(4000)])
    assert drawn.shape == (4000, quota) and (np.diff(drawn, axis=1) > 0).all()
    shares = np.bincount(drawn.ravel().astype(int), minlength=count) / 4000
    np.testing.assert_allclose(shares, quota / count, atol=0.04)


@pytest.mark.parametrize(("kinds", "heard"), [(5, 2), (4, 2), (3, 1), (2, 0), (1, 0)])
def test_interferers(kinds, heard):
    speakers = np.array(SPEAKERS[: 4 * kinds])
    interferers = assign_interferers(speakers, seed=7)
    assert interferers.dtype == np.int64 and interferers.shape == (4 * kinds, 2)
    assert (interferers[:, :heard] >= 0).all() and (interferers[:, heard:] == -1).all()
    for recording, others in enumerate(interferers[:, :heard]):
        assert len({speakers[recording], *speakers[others]}) == 1 + heard
    np.testing.assert_array_equal(assign_interferers(np.unique(speakers, return_inverse=True)[1], 7), interferers)
    if heard:
        assert not np.array_equal(assign_interferers(speakers, 8), interferers)


def test_interferers_are_drawn_uniformly_by_speaker_then_recording():
    speakers = ["A"] + ["B"] + ["C"] * 2 + ["D"] * 4
    rows = np.array([assign_interferers(speakers, seed)[0] for seed in range(3000)])
    for column in rows.T:
        shares = np.bincount(column, minlength=8) / 3000
        np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 6, 1 / 6] + [1 / 12] * 4, atol=0.04)


def test_nine_million_pairs():
    speakers = np.repeat(np.arange(100), 30).astype(str).tolist()
    trials = build_trials(speakers)
    assert trials.targets.sum() == 100 * 30 * 29
    # For each test, 97 speakers can be enrolled, with 30 recordings each.
    assert (~trials.targets).sum() == 3000 * 97 * 30
    with pytest.raises(InputError, match=r"all pairs are \d+ trials, expected at most 10000000; .*--sample"):
        build_trials(speakers + np.repeat(np.arange(100, 110), 30).astype(str).tolist())


@pytest.mark.parametrize(
    ("speakers", "options", "message"),
    [
        (list("ABCDE"), {}, "no target trial, expected a speaker with 2 recordings"),
        (SPEAKERS, {"enrol_utterances": 4}, "no target trial, expected a speaker with 5 recordings"),
        (SPEAKERS[:4], {}, "no non-target trial among 1 speakers"),
        (SPEAKERS, {"enrol_utterances": 0}, "--enrol-utterances 0: expected at least 1"),
        (SPEAKERS, {"sample": 1}, "--sample 1: expected 2 to"),
        (SPEAKERS, {"same": ("age",), "cross": ("age",)}, "age was asked to be the same and to differ"),
    ],
)
def test_options_that_make_no_list(speakers, options, message):
    with pytest.raises(InputError, match=message):
        build_trials(speakers, options=TrialOptions(**options))


def test_pairs_are_limited(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 399)
    with pytest.raises(InputError, match="has 20 models and 20 recordings, expected at most 399 pairs"):
        build_trials(SPEAKERS, options=TrialOptions(sample=10))


# Files


@pytest.fixture
def corpus(tmp_path):
    """A manifest of SPEAKERS with names such as "A/2.wav". Its files do not exist, because no test opens them."""
    names = [f"{speaker}/{i % 4}.wav" for i, speaker in enumerate(SPEAKERS)]
    write_manifest(tmp_path / "test.tsv", tmp_path, [(name, 16000) for name in names])
    write_labels(tmp_path / "test.spk", SPEAKERS)
    return read_manifest(tmp_path / "test.tsv")


def same(one, other):
    assert (one.models, one.names, one.dropped) == (other.models, other.names, other.dropped)
    for column in ("enrol", "test", "targets", "interferers"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
        assert getattr(one, column).dtype == getattr(other, column).dtype


@pytest.mark.parametrize("options", [{}, {"sample": 30}, {"enrol_utterances": 2}, {"enrol_utterances": 3, "sample": 9}])
def test_what_was_written_is_read(corpus, tmp_path, options):
    path = tmp_path / "lists" / "trials.txt"
    trials = build_trials(SPEAKERS, options=TrialOptions(**options), seed=6)
    write_trials(path, trials, corpus)
    assert enrolments_path(path).is_file() == ("enrol_utterances" in options)
    first = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    same(read_trials(path, corpus, seed=6), trials)
    tested = np.unique(trials.test)
    np.testing.assert_array_equal(read_trials(path, corpus, seed=1).interferers[tested], trials.interferers[tested])
    write_trials(path, read_trials(path, corpus), corpus)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == first


def test_the_form_written(corpus, tmp_path):
    trials = build_trials(SPEAKERS, options=TrialOptions(sample=4, enrol_utterances=2), seed=6)
    write_trials(tmp_path / "trials.txt", trials, corpus)
    header, *lines = (tmp_path / "trials.txt").read_text().splitlines()
    assert header == "label\tenrol\ttest\tinterferers"
    expected = []
    for model, test, target in zip(trials.enrol, trials.test, trials.targets, strict=True):
        others = ",".join(corpus.names[other] for other in trials.interferers[test])
        expected.append(f"{int(target)}\t{trials.names[model]}\t{corpus.names[test]}\t{others}")
    assert lines == expected
    enrolments = (tmp_path / "trials.enrolments").read_text().splitlines()
    assert enrolments == [
        "\t".join([name, *(corpus.names[i] for i in model)])
        for name, model in zip(trials.names, trials.models, strict=True)
    ]


def listed(corpus, text, enrolments=None, **options):
    path = corpus.path.with_name("list.txt")
    path.write_text(text)
    if enrolments is not None:
        enrolments_path(path).write_text(enrolments)
    return read_trials(path, corpus, **options)


PAIRS = [
    ("A/0", "A/1", True),
    ("A/0", "B/1", False),
    ("C/2", "C/0", True),
    ("E/3", "D/3", False),
    ("B/0", "C/0", False),
]


def voxceleb(pairs=PAIRS):
    return "".join(f"{target:d} {enrol}.wav {test}.wav\n" for enrol, test, target in pairs)


def kaldi(pairs=PAIRS):
    return "".join(f"{enrol}\t{test}\t{'target' if target else 'nontarget'}\n" for enrol, test, target in pairs)


def test_other_forms_get_interferers_and_lose_the_trials_of_these(corpus):
    interferers = assign_interferers(SPEAKERS, seed=2)
    every = [
        (enrol.removesuffix(".wav"), test.removesuffix(".wav"), enrol[0] == test[0])
        for enrol, test in product(corpus.names, corpus.names)
        if enrol != test
    ]
    trials = listed(corpus, voxceleb(every), seed=2)
    same(listed(corpus, kaldi(every), seed=2), trials)
    np.testing.assert_array_equal(trials.interferers, interferers)
    assert pairs_of(trials) == written_out([(i,) for i in range(20)], interferers)
    assert trials.dropped == 20 * 19 - len(trials.enrol) == 20 * 8


def test_models_of_kaldi(corpus):
    """Names with spaces and numbers, several utterances, with and without extension."""
    enrolments = "1 A/0 A/1.wav\nthe second\tB/0\n2 C/3\nunused E/0\n"
    own = "label\tenrol\ttest\tinterferers\n1\t1\tA/2\tB/1,C/1\n0\tthe second\tC/0.wav\tD/0\n0\t2\tE/1\t-\n"
    trials = listed(corpus, own, enrolments)
    assert (trials.models, trials.names) == (((0, 1), (4,), (11,)), ("1", "the second", "2"))
    assert trials.model_names(corpus) == trials.names
    assert [trials.enrol.tolist(), trials.test.tolist(), trials.targets.tolist()] == [
        [0, 1, 2],
        [2, 8, 17],
        [True, False, False],
    ]
    assert trials.interferers[[2, 8, 17]].tolist() == [[5, 9], [12, -1], [-1, -1]]
    untested = np.setdiff1d(np.arange(20), [2, 8, 17])
    np.testing.assert_array_equal(trials.interferers[untested], assign_interferers(SPEAKERS, 0)[untested])

    corpus.path.with_suffix(".spk").unlink()
    assert (listed(corpus, own, enrolments).interferers[untested] == -1).all()
    with pytest.raises(InputError, match=r"test\.spk: no such file"):
        listed(corpus, "1 A/2 target\n1 B/2 nontarget\n")


def test_kaldi_with_a_model_called_1(corpus):
    free = [i for i in range(4, 20) if "A" not in [SPEAKERS[other] for other in assign_interferers(SPEAKERS, 0)[i]]]
    text = f"\n1 A/2 target\r\n\n1 {corpus.names[free[0]]} nontarget\n"
    trials = listed(corpus, text, "1 A/0 A/1\n")
    assert pairs_of(trials) == [((0, 1), 2, True), ((0, 1), free[0], False)]


OWN = "label\tenrol\ttest\tinterferers\n1\tA/0\tA/1\tB/0\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (voxceleb() + "1 A/0 Z/0\n", 6, "test 'Z/0' is not in .*test.tsv; .*such as A/0.wav"),
        (voxceleb() + "0 A/0.flac B/0\n", 6, "enrol 'A/0.flac' is not in"),
        (voxceleb() + "0 A/0 B/0 C/0\n", 6, "has 4 fields"),
        (voxceleb() + "0 A/0\n", 6, "has 2 fields"),
        (voxceleb() + "yes A/0 B/0\n", 6, "begins with 'yes' and ends with 'B/0', expected 1 or 0 at the start"),
        (
            "A/0 B/0 impostor\n",
            1,
            "begins with 'A/0' and ends with 'impostor', expected .* or target, nontarget, tgt, imp, 1 or 0 at the end",
        ),
        ("1 A/0 A/1 B/0\n", 1, "has 4 fields, expected the header label enrol test interferers"),
        (kaldi() + "1 A/0 A/2\n", 6, "has the form `1 enrol test` .*, but line 1 has `enrol test target`"),
        (voxceleb() + "A/0 A/2 target\n", 6, "has the form `enrol test target`"),
        (voxceleb() + OWN, 6, "has the form the header"),
        (OWN + "0\tA/0\tC/0\n", 3, "has the form `1 enrol test`"),
        (OWN + "0\tA/0\tC/0\tB/0\tD/0\n", 3, r"found '0\\tA.*', expected 1 or 0, model, test and interferers"),
        (OWN + "2\tA/0\tC/0\tB/0\n", 3, "found .*, expected 1 or 0, model, test"),
        (OWN + "1\tA/2\tA/1\tC/0\n", 3, "interferers of A/1 differ from those on line 2"),
        (OWN + "0\tA/0\tC/0\tB/0,D/0,E/0\n", 3, "expected at most 2, all different files"),
        (OWN + "0\tA/0\tC/0\tB/0,B/0\n", 3, "all different files"),
        (OWN + "0\tA/0\tC/0\tB/0,\n", 3, "interferer '' is not in"),
        (OWN + "0\tA/0\tC/0\tB/0,B/1\n", 3, "interferers of C/0.wav are not of two other speakers"),
        (OWN + "0\tA/0\tC/0\tC/1\n", 3, "interferers of C/0.wav are not of two other speakers"),
        (OWN + "0\tA/0\tC/0\tB/0\n0\tB/3\tC/0\tB/0\n", 4, "the enrolled speaker is an interferer of C/0.wav"),
        (voxceleb() + "\n1 A/0 B/0\n1 A/0 D/0\n", 7, r"is a target trial of the speakers A and B, .*\(and 1 more"),
        (voxceleb() + "0 A/0 A/2\n", 6, "is a non-target trial of one speaker, A, by .*test.spk"),
        (voxceleb() + "1 A/0 A/0\n", 6, "A/0.wav is compared with itself"),
        (voxceleb(PAIRS[:1]), None, "has no non-target trials; expected both kinds"),
        (voxceleb(PAIRS[1:2]), None, "has no target trials; expected both kinds"),
        ("\n\n", None, "holds no trials"),
        (OWN.splitlines()[0] + "\n", None, "holds no trials"),
    ],
)
def test_faulty_lists(corpus, text, line, message):
    with pytest.raises(InputError, match=message) as error:
        listed(corpus, text)
    place = corpus.path.with_name("list.txt")
    assert str(error.value).startswith(f"{place}:{line}: " if line else f"{place}: ")


@pytest.mark.parametrize(
    ("enrolments", "line", "message"),
    [
        ("a A/0\nb Z/0\n", 2, "utterance 'Z/0' is not in"),
        ("a A/0\na A/1\n", 2, "model 'a' is already on line 1"),
        ("a A/0 A/0.wav\n", 1, "model 'a' has an utterance twice"),
        ("a A/0 B/0\n", 1, "model 'a' has utterances of A and of B"),
        ("a\n", 1, "model 'a' has no utterances"),
        ("\n", None, "holds no models"),
    ],
)
def test_faulty_enrolments(corpus, enrolments, line, message):
    with pytest.raises(InputError, match=message) as error:
        listed(corpus, "a A/2 target\n", enrolments)
    place = corpus.path.with_name("list.enrolments")
    assert str(error.value).startswith(f"{place}:{line}: " if line else f"{place}: ")


def test_enrolments_and_lists_that_do_not_fit(corpus, tmp_path):
    with pytest.raises(InputError, match=r"list.txt:2: enrol 'b' is not a model of .*list.enrolments"):
        listed(corpus, "a A/2 target\nb A/3 target\n", "a A/0 A/1\n")
    with pytest.raises(InputError, match=r"list.txt:2: A/1.wav is compared with itself"):
        listed(corpus, "a A/2 target\na A/1 target\n", "a A/0 A/1\n")
    (tmp_path / "others").write_text("b A/0\n")
    with pytest.raises(InputError, match="enrol 'a' is not a model of .*others"):
        read_trials(tmp_path / "list.txt", corpus, tmp_path / "others")
    trials = build_trials(SPEAKERS)
    with pytest.raises(InputError, match="list.enrolments: belongs to an earlier list"):
        write_trials(tmp_path / "list.txt", trials, corpus)
    with pytest.raises(InputError, match="list.enrolments: is the name of the list's enrolments"):
        write_trials(tmp_path / "list.enrolments", trials, corpus)
    with pytest.raises(InputError, match=r"absent.txt: cannot be read"):
        read_trials(tmp_path / "absent.txt", corpus)
    (tmp_path / "latin.txt").write_bytes("1 A/0 B/é\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.txt:1: found 1 A/0 B/.xe9, which is not UTF-8"):
        read_trials(tmp_path / "latin.txt", corpus)


def test_when_interferers_take_all_trials_of_a_kind(corpus):
    interferers = assign_interferers(SPEAKERS, 0)
    enrolled = corpus.names[interferers[0, 0]]
    with pytest.raises(InputError, match="has no non-target trials left, 1 were dropped because the enrolled speaker"):
        listed(corpus, f"1 A/0 A/1\n0 {enrolled} A/0\n")


def test_names_that_do_not_fit(tmp_path):
    names = ["a.b/1.wav", "a.b/1.flac", "a.b/2.wav", "b/1.wav", "b,c/1.wav", "d/1.wav"]
    write_manifest(tmp_path / "test.tsv", tmp_path, [(name, 16000) for name in names])
    write_labels(tmp_path / "test.spk", ["a", "a", "a", "b", "c", "d"])
    manifest = read_manifest(tmp_path / "test.tsv")
    with pytest.raises(InputError, match="list.txt:1: test 'a.b/1' may be a.b/1.wav or a.b/1.flac .*the extension"):
        listed(manifest, "1 a.b/2 a.b/1\n")
    assert listed(manifest, OWN.splitlines()[0] + "\n1\ta.b/2\ta.b/1.wav\t-\n0\tb/1\ta.b/2\t-\n").test.tolist() == [
        0,
        2,
    ]
    with pytest.raises(InputError, match="cannot hold the name 'b,c/1.wav', because commas"):
        write_trials(tmp_path / "t.txt", build_trials(["a", "a", "a", "b", "c", "d"]), manifest)
    write_manifest(tmp_path / "twice.tsv", tmp_path, [("a.wav", 1), ("b.wav", 1), ("a.wav", 1)])
    with pytest.raises(InputError, match=r"twice.tsv:4: a.wav is already on line 2"):
        read_trials(tmp_path / "t.txt", read_manifest(tmp_path / "twice.tsv"))


# Tables of speakers

TABLE = "corpus\tspeaker\tgender\tage_group\nx\tA\tf\tchild\ny\tA\tm\tUnknown\nx\tB\tm\tadult\nx\tC\t\tadult\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "x").mkdir()
    write_manifest(
        tmp_path / "test.tsv", tmp_path, [("x/A/1.wav", 1), ("x/B/1.wav", 1), ("x/A/2.wav", 1), ("y/A/1.wav", 1)]
    )
    (tmp_path / "speakers.tsv").write_text(TABLE)
    return tmp_path / "speakers.tsv"


def test_attributes(table, tmp_path):
    manifest = read_manifest(tmp_path / "test.tsv")
    attributes = read_speaker_attributes(table, manifest, ["x/A", "x/B", "x/A", "y/A"])
    assert {name: values.tolist() for name, values in attributes.items()} == {
        "gender": ["f", "m", "f", "m"],
        "age_group": ["child", "adult", "child", ""],
    }
    table.write_bytes(TABLE.replace("\n", "\r\n").replace("A", "Jos\u00e9").encode("utf-8-sig"))
    other = read_speaker_attributes(table, manifest, ["x/Jose\u0301", "x/B", "x/Jose\u0301", "y/Jos\u00e9"])
    assert {name: values.tolist() for name, values in other.items()} == {
        name: values.tolist() for name, values in attributes.items()
    }
    table.write_text(TABLE)
    # Below x, the corpus is the folder above the manifest's root.
    write_manifest(tmp_path / "below.tsv", tmp_path / "x", [("A/1.wav", 1), ("C/1.wav", 1)])
    below = read_speaker_attributes(table, read_manifest(tmp_path / "below.tsv"), ["A", "C"])
    assert below["gender"].tolist() == ["f", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("y\tA\tm\tUnknown\n", ""), r"speakers.tsv: lacks 1 of the 3 speakers of .*test.tsv \(y/A\)"),
        (TABLE + "x\tA\tm\tchild\n", r"speakers.tsv:6: x/A differs from its row on line 2"),
        (TABLE + "x\tD\tm\n", r"speakers.tsv:6: has 3 columns, expected 4: corpus, speaker, gender, age_group"),
        (TABLE.replace("speaker", "name"), r"speakers.tsv:1: has the columns \['corpus', 'name'.*expected speaker"),
        ("speaker\tcorpus\n", r"speakers.tsv:1: has the columns"),
        ("speaker\tgender\tgender\n", r"speakers.tsv:1: has the columns .*each once"),
        ("", r"speakers.tsv:1: has the columns \[\]"),
        ("speaker\tgender\nA\tf\nB\tm\n", r"speakers.tsv:2: A names both x/A and y/A"),
    ],
)
def test_faulty_tables(table, tmp_path, text, message):
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        read_speaker_attributes(table, read_manifest(tmp_path / "test.tsv"), ["x/A", "x/B", "x/A", "y/A"])


def trailing(pairs=PAIRS, labels=("1", "0")):
    return "".join(f"{enrol} {test} {labels[0] if target else labels[1]}\n" for enrol, test, target in pairs)


@pytest.mark.parametrize("labels", [("1", "0"), ("tgt", "imp"), ("target", "nontarget")])
def test_labels_at_the_end(corpus, labels):
    same(listed(corpus, trailing(labels=labels)), listed(corpus, voxceleb()))


def test_a_label_at_either_end(corpus):
    """Models called 1 and 0: what is known tells names from labels."""
    enrolments = "1 A/0 A/1\n0 B/0\n"
    trials = listed(corpus, "1 A/2 1\n1 B/2 0\n0 B/3 1\n0 C/1 0\n", enrolments)
    expected = listed(corpus, "1 A/2 target\n1 B/2 nontarget\n0 B/3 target\n0 C/1 nontarget\n", enrolments)
    same(trials, expected)
    enrolments_path(corpus.path.with_name("list.txt")).unlink()
    with pytest.raises(
        InputError, match=r"list.txt:1: found '1 A/0 0', in which either end may be the label; write target"
    ):
        listed(corpus, "1 A/0 0\n")


def test_marks_line_ends_and_forms(corpus):
    """A list with a byte order mark and CRLF; a name that the manifest has decomposed and the list composed."""
    plain = listed(corpus, voxceleb())
    corpus.path.with_name("list.txt").write_bytes(voxceleb().replace("\n", "\r\n").encode("utf-8-sig"))
    same(read_trials(corpus.path.with_name("list.txt"), corpus), plain)
    names = tuple(name.replace("A/0", "Jose\u0301") for name in corpus.names)
    same(listed(replace(corpus, names=names), voxceleb().replace("A/0", "José")), plain)
    both = (*names[:1], "José.wav", *names[2:])
    with pytest.raises(InputError, match=r"'Jose.u0301.wav' and 'Jos.xe9.wav' differ in their Unicode form alone"):
        listed(replace(corpus, names=both), voxceleb())


def test_repeated_trials_are_told(corpus, caplog):
    trials = listed(corpus, voxceleb() + voxceleb(PAIRS[1:3]))
    assert len(trials.enrol) + trials.dropped == 7
    (message,) = caplog.messages
    assert message.endswith(
        "list.txt:6: A/0.wav B/1.wav is already on line 2; 2 of 7 trials are repeated and count again"
    )
    caplog.clear()
    listed(corpus, voxceleb())
    assert not caplog.messages
    with pytest.raises(
        InputError, match=r"list.txt:6: A/0.wav A/1.wav has the other label on line 1; keep one of the two"
    ):
        listed(corpus, voxceleb() + "0 A/0 A/1\n")
