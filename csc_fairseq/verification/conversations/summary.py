"""Figures of many conversations, with 95 % intervals from resampled conversations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from csc_fairseq.errors import InputError
from csc_fairseq.verification.conversations.measures import Measured
from csc_fairseq.verification.evaluation.results import Estimate
from csc_fairseq.verification.evaluation.tables import NOTHING, Table
from csc_fairseq.verification.metrics.bootstrap import interval
from csc_fairseq.verification.metrics.error_rates import eer

KEPT = 0.9  # share of the present voices that extraction must not call absent


@dataclass(frozen=True)
class Summary:
    """One system on the conversations of one folder; None: not measured there.

    system, folder: names. talkers: "found", or "given" where the system was told how many there are. conversations: their number.
    der: by "collar 0, with overlap" and so on, shares; jer: share. count_right: share of conversations with the right number of
    talkers; count_error: mean of |found − true|. presence, presence_talkers: EER of "is this voice anywhere in it", by the most
    similar window and by the most similar talker; shares. false_extractions: share of the absent voices that are taken for present,
    by the most similar talker, at the threshold that keeps 90 % of the present ones of these very conversations: an optimistic
    one, and another one for every replicate. si_snri: of the stream that extraction gives, mean over the present voices, in dB;
    those called absent at that threshold count as 0, and absent voices do not enter. overlapped_si_snri: mean over talkers, where
    they talk over others (dB). kept: share of the time in which one talks alone during which the own stream is the loudest.
    """

    system: str
    folder: str
    talkers: str
    conversations: int
    der: dict[str, Estimate]
    jer: Estimate
    count_right: Estimate | None
    count_error: Estimate | None
    presence: Estimate | None
    presence_talkers: Estimate | None
    false_extractions: Estimate | None
    si_snri: Estimate | None
    overlapped_si_snri: Estimate | None
    kept: Estimate | None


def summarise(
    system: str, folder: str, talkers: str, measured: Sequence[Measured], replicates: int = 1000, seed: int = 0
) -> Summary:
    """The figures of one system. talkers: "found" or "given". Replicates of two systems on one folder draw alike.

    InputError without conversations.
    """
    if not measured:
        raise InputError(f"{folder}: no conversation was measured; expected one at least")
    draws = np.random.default_rng(seed).integers(len(measured), size=(replicates, len(measured)))

    def estimate(figure: Callable[[Sequence[Measured]], float | None]) -> Estimate | None:
        value = figure(measured)
        if value is None:
            return None
        drawn = [figure([measured[i] for i in draw]) for draw in draws]
        return Estimate(value, *interval([np.nan if one is None else one for one in drawn]))

    found = talkers == "found"
    return Summary(
        system,
        folder,
        talkers,
        len(measured),
        der={way.name: estimate(partial(_der, way.name)) for way in measured[0].errors},
        jer=estimate(lambda many: _share([one.jaccard for one in many])),
        count_right=estimate(lambda many: _mean([one.found == one.talkers for one in many])) if found else None,
        count_error=estimate(lambda many: _mean([abs(one.found - one.talkers) for one in many])) if found else None,
        presence=estimate(lambda many: _presence(many, "best_window")),
        presence_talkers=estimate(lambda many: _presence(many, "best_talker")),
        false_extractions=estimate(lambda many: _extraction(many)[0]),
        si_snri=estimate(lambda many: _extraction(many)[1]),
        overlapped_si_snri=estimate(
            lambda many: _mean([db for one in many if one.separation for db in one.separation.overlapped_si_snri])
        ),
        kept=estimate(
            lambda many: _share([(one.separation.kept, one.separation.alone) for one in many if one.separation])
        ),
    )


def tables(summaries: Sequence[Summary]) -> list[Table]:
    """In reading order: DER and counts, then voices and streams."""
    ways = list(summaries[0].der)
    diarization = Table(
        "Who speaks when (95 % interval)",
        "DER and JER in %, by pyannote.metrics; lower is better. Talkers found: the system decides how many there are; given: it "
        "was told. Intervals are from resampled conversations.",
        ["system, conversations", "talkers", *(f"DER, {way}" for way in ways), "JER", "right number, %", "off by"],
        [
            [
                f"{one.system}, {one.folder} ({one.conversations})",
                one.talkers,
                *(_percent(one.der[way]) for way in ways),
                _percent(one.jer),
                _percent(one.count_right),
                _plain(one.count_error, 2),
            ]
            for one in summaries
        ],
    )
    voices = Table(
        "Voices and streams (95 % interval)",
        "Presence: EER in % of whether an enrolled voice is anywhere in a conversation. False extractions: share of the absent "
        f"voices that are taken for present at the threshold that keeps {KEPT:.0%} of the present ones, a threshold taken from "
        "these conversations themselves, so that figures in use are less good. Extraction: SI-SNR improvement in dB of the stream "
        "most like a present voice, over the whole conversation; present voices called absent there count as 0, absent voices do "
        "not enter. Overlapped: the same of the best stream of each talker, where it talks over others; whoever finds nobody has "
        "silence there. Kept: share of the time in which one talks alone during which the own stream is the loudest and no "
        "silence. Systems that do not separate cut the talker's turns out of the recording.",
        [
            "system, conversations",
            "talkers",
            "presence, window",
            "presence, talker",
            "false extractions, %",
            "extraction, dB",
        ]
        + ["overlapped, dB", "kept, %"],
        [
            [
                f"{one.system}, {one.folder} ({one.conversations})",
                one.talkers,
                _percent(one.presence),
                _percent(one.presence_talkers),
                _percent(one.false_extractions),
                _plain(one.si_snri, 1),
                _plain(one.overlapped_si_snri, 1),
                _percent(one.kept),
            ]
            for one in summaries
        ],
    )
    return [diarization, voices]


def _der(way: str, many: Sequence[Measured]) -> float | None:
    """Seconds of error of all over seconds of speech of all."""
    return _share([(e.wrong, e.total) for one in many for e in one.errors if e.name == way])


def _share(parts: Sequence[tuple[float, float]]) -> float | None:
    whole = sum(total for _, total in parts)
    return sum(part for part, _ in parts) / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _presence(many: Sequence[Measured], score: str) -> float | None:
    """EER; None unless there are present and absent voices."""
    present, absent = (
        [getattr(v, score) for one in many for v in one.voices if v.present == kind] for kind in (True, False)
    )
    return eer(present, absent) if present and absent else None


def _extraction(many: Sequence[Measured]) -> tuple[float | None, float | None]:
    """`Summary.false_extractions` and `Summary.si_snri`."""
    voices = [voice for one in many for voice in one.voices]
    present = [voice for voice in voices if voice.present]
    if not present:
        return None, None
    # The highest threshold that keeps enough of them: a voice is called absent below it.
    scores = sorted(voice.best_talker for voice in present)
    threshold = scores[int((1 - KEPT) * len(scores) + 1e-9)]
    extracted = [voice.best_talker >= threshold for voice in voices if not voice.present]
    improvements = [
        voice.si_snri if voice.best_talker >= threshold else 0.0 for voice in present if voice.si_snri is not None
    ]
    return _mean(extracted), _mean(improvements)


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOTHING
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _plain(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return NOTHING
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
