"""Verification with another talker in the test recording, and how well the two are separated.

Enrolment is clean. The test recording is clean, or mixed over its whole length with one talker who is neither the
test speaker nor the enrolled one. The same trials, interferers and crops run through every condition, so differences
are paired; only the level of the interferer changes. Score: cosine of the enrolment embedding and the most similar
stream of the test recording, for targets and non-targets alike, clean or not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.manifest import Manifest
from csc_fairseq.data.mixing import MixingPlan, SourcePlan
from csc_fairseq.data.pool import RecordingPool
from csc_fairseq.data.rendering import Mixture, render
from csc_fairseq.data.rng import generator
from csc_fairseq.errors import InputError
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.losses.si_snr import si_snr
from csc_fairseq.verification.metrics import bootstrap_eer, eer

RECORDINGS_AT_ONCE = 32  # decoded together; bounds memory
MOST_RECORDINGS = 3000  # all pairs are listed: 9 million
MOST_TRIALS = 200_000  # scored; the bootstrap takes some 70 µs a trial


@dataclass(frozen=True)
class ConditionResult:
    """One row of the table.

    condition: "clean" or "talker". sir_db: test speaker over interferer (dB), None for clean. eer, eer_low, eer_high:
    shares in [0, 1], the latter two a 95 % interval from resampled speakers. targets, nontargets: number of trials.
    si_snri_db: SI-SNR improvement over the mixture (dB), mean over both talkers of all mixtures, larger is better;
    None for clean.
    """

    condition: str
    sir_db: float | None
    eer: float
    eer_low: float
    eer_high: float
    targets: int
    nontargets: int
    si_snri_db: float | None


@dataclass(frozen=True)
class Trials:
    """Pairs of recordings. enrol, test: int64 [n], recordings. targets: bool [n], True for the same speaker."""

    enrol: np.ndarray
    test: np.ndarray
    targets: np.ndarray


def evaluate(
    model: SpeakerEncoder,
    manifest: Manifest,
    labels: Sequence[str],
    sirs: Sequence[float] = (0.0,),
    seed: int = 0,
    longest_seconds: float = 10.0,
    replicates: int = 1000,
    progress: str | None = None,
) -> list[ConditionResult]:
    """EER of all pairs of a labelled manifest, clean and with one interfering talker at each SIR.

    Args:
        model: the encoder to test.
        manifest: recordings of speakers that it was not trained on, at the model's rate.
        labels: speaker of each recording.
        sirs: signal-to-interference ratios (dB).
        seed: of interferers, crops, the choice of trials and the bootstrap.
        longest_seconds: recordings are cut to their first so many seconds, on both sides (our choice).
        replicates: bootstrap replicates.
        progress: title of a progress bar on standard error, shown on terminals only; None for none.

    Returns:
        Results for clean, then for each SIR.

    Raises:
        InputError: fewer than three speakers, no speaker with two recordings, too many or too short recordings,
            faulty files, a model of one stream.
    """
    if model.streams < 2:
        raise InputError(f"the model separates {model.streams} stream, expected at least 2 to hear two talkers")
    if longest_seconds <= 0:
        raise InputError(f"recordings were to be cut to {longest_seconds} s, expected more than 0")
    pool = RecordingPool(manifest, labels, {}, model.sample_rate)
    _check(pool, model)
    longest = round(longest_seconds * model.sample_rate)
    plans = [plan_test(pool, recording, seed, longest) for recording in range(len(pool))]
    trials = all_trials(pool.groups, np.array([pool.groups[plan.sources[1].recording] for plan in plans]), seed)

    with tqdm(
        total=len(pool) * (2 + len(sirs)), desc=progress, unit="file", leave=False, disable=None if progress else True
    ) as bar:
        enrolment = _enrol(model, pool, longest, bar)
        results = []
        for sir_db in (None, *sirs):
            talkers, improvement = _test(model, pool, [at_sir(plan, sir_db) for plan in plans], bar)
            scores = np.einsum("ne,nce->nc", enrolment[trials.enrol], talkers[trials.test]).max(axis=1)
            rate = eer(scores[trials.targets], scores[~trials.targets])
            speakers = pool.groups[trials.enrol], pool.groups[trials.test]
            low, high = bootstrap_eer(scores, trials.targets, *speakers, replicates, seed)
            targets = int(trials.targets.sum())
            results.append(
                ConditionResult(
                    condition="clean" if sir_db is None else "talker",
                    sir_db=sir_db,
                    eer=rate,
                    eer_low=low,
                    eer_high=high,
                    targets=targets,
                    nontargets=len(scores) - targets,
                    si_snri_db=improvement,
                )
            )
    return results


def plan_test(pool: RecordingPool, recording: int, seed: int, longest: int) -> MixingPlan:
    """First `longest` samples of a recording with an interferer at 0 dB: a plan keyed by (seed, recording) alone.

    The interfering speaker is drawn uniformly among the others, then one of their recordings, then a crop of the
    mixture's length; a shorter recording sits at a random place.
    """
    rng = generator(seed, "interference", recording)
    frames = min(int(pool.frames[recording]), longest)
    own = int(pool.groups[recording])
    group = int(rng.integers(pool.group_count - 1))
    interferer = int(rng.choice(pool.members(group + (group >= own))))
    length = min(int(pool.frames[interferer]), frames)
    start = int(rng.integers(int(pool.frames[interferer]) - length + 1))
    offset = int(rng.integers(frames - length + 1))
    sources = (
        SourcePlan(recording, int(pool.identities[recording]), (0,), frames),
        SourcePlan(interferer, int(pool.identities[interferer]), (start,), length, offset),
    )
    return MixingPlan(frames, sources, target=0, slots=2, order=(0, 1))


def at_sir(plan: MixingPlan, sir_db: float | None) -> MixingPlan:
    """The same mixture with its interferer at another SIR (dB); without it for None."""
    test, interferer = plan.sources
    if sir_db is None:
        return replace(plan, sources=(test,), order=plan.order[:1])
    return replace(plan, sources=(test, replace(interferer, sir_db=float(sir_db))))


def all_trials(speakers: np.ndarray, interferers: np.ndarray, seed: int) -> Trials:
    """All ordered pairs of different recordings, less those whose enrolled speaker is the test recording's interferer.

    Above MOST_TRIALS, all targets (half as many at most) and a random choice of non-targets are kept.

    Args:
        speakers: int64 [N], speaker of each recording.
        interferers: int64 [N], speaker who interferes when the recording is the test side; never its own speaker.
        seed: of that choice.
    """
    same = speakers[:, None] == speakers[None, :]
    distinct = ~np.eye(len(speakers), dtype=bool)
    targets = np.argwhere(same & distinct)
    nontargets = np.argwhere(~same & (speakers[:, None] != interferers[None, :]))
    rng = generator(seed, "trials")
    targets = _choose(targets, min(len(targets), MOST_TRIALS // 2), rng)
    nontargets = _choose(nontargets, min(len(nontargets), MOST_TRIALS - len(targets)), rng)
    pairs = np.concatenate([targets, nontargets])
    return Trials(pairs[:, 0], pairs[:, 1], np.arange(len(pairs)) < len(targets))


def _choose(pairs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return pairs if count == len(pairs) else pairs[np.sort(rng.choice(len(pairs), count, replace=False))]


def improvement_db(estimates: Tensor, mixture: Mixture) -> float:
    """SI-SNR improvement (dB) over the mixture, mean over its sources, under the assignment of streams that is best.

    Args:
        estimates: [C, T] separated streams, C at least the number of sources.
        mixture: what was separated.
    """
    sources = torch.from_numpy(mixture.sources)
    pairs = si_snr(estimates.cpu().unsqueeze(1), sources)
    orders = permutations(range(len(estimates)), len(sources))
    best = max(float(pairs[list(order), range(len(sources))].mean()) for order in orders)
    return best - float(si_snr(torch.from_numpy(mixture.samples), sources).mean())


def _enrol(model: SpeakerEncoder, pool: RecordingPool, longest: int, bar: tqdm) -> np.ndarray:
    """Embeddings [N, E] of the clean recordings."""
    embeddings = np.empty((len(pool), model.embedding_size), dtype=np.float32)
    for recordings in _portions(len(pool)):
        lengths = [min(int(pool.frames[i]), longest) for i in recordings]
        clean = [load_crop(pool.path(i), 0, n, pool.sample_rate) for i, n in zip(recordings, lengths, strict=True)]
        embeddings[recordings] = model.embed(clean)
        bar.update(len(recordings))
    return embeddings


def _test(
    model: SpeakerEncoder, pool: RecordingPool, plans: list[MixingPlan], bar: tqdm
) -> tuple[np.ndarray, float | None]:
    """Embeddings of all streams [N, C, E], and the mean SI-SNR improvement (dB), None where nothing was mixed."""
    talkers = np.empty((len(plans), model.streams, model.embedding_size), dtype=np.float32)
    improvements = []
    for recordings in _portions(len(plans)):
        mixtures = [render(plans[i], pool) for i in recordings]
        for i, analysis in model.analyse([torch.from_numpy(mixture.samples) for mixture in mixtures]):
            talkers[recordings[i]] = analysis.queries.cpu().numpy()
            if mixtures[i].present.all():
                improvements.append(improvement_db(analysis.estimates, mixtures[i]))
        bar.update(len(recordings))
    return talkers, float(np.mean(improvements)) if improvements else None


def _portions(count: int) -> Iterator[range]:
    for start in range(0, count, RECORDINGS_AT_ONCE):
        yield range(start, min(count, start + RECORDINGS_AT_ONCE))


def _check(pool: RecordingPool, model: SpeakerEncoder) -> None:
    path = pool.manifest.path
    if len(pool) > MOST_RECORDINGS:
        raise InputError(
            f"{path}: has {len(pool)} recordings, at most {MOST_RECORDINGS} make trials of all pairs; take a part of it"
        )
    if pool.group_count < 3:
        raise InputError(
            f"{path}: has {pool.group_count} speakers, expected 3 or more: a mixed non-target trial takes three talkers"
        )
    if pool.group_sizes().max() < 2:
        raise InputError(
            f"{path}: has one recording of each speaker, expected two of some at least: target trials compare two"
        )
    short = np.flatnonzero(pool.frames < model.shortest)
    if len(short):
        first = int(short[0])
        raise InputError(
            f"{pool.place(first)}: {pool.manifest.names[first]} has {pool.frames[first]} samples, "
            f"expected {model.shortest} at least; take it out"
        )
