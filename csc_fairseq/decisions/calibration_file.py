"""Calibrations in files: one map from the scores of a model to log-likelihood ratios, with the domain that it is for.

A file is JSON that people can read. It holds no name of a speaker.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csc_fairseq.checkpoints.entries import Entries, one_line
from csc_fairseq.decisions.model_identity import ModelIdentity
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.verification.metrics.calibration import Calibration

FORMAT, VERSION = "csc-calibration", 1
EXPECTED = "expected a calibration, as `csc calibrate` writes it"
LARGEST = 1e9  # of a scale or offset: scores are cosines, so more is no calibration
LONGEST = 2**20  # bytes; a file of this kind has a few thousand
ALIKE = 2.0  # recordings that are up to this many times longer or shorter are like each other (our choice)


@dataclass(frozen=True)
class Quality:
    """What the map does on the very trials that it was fitted on, so an optimistic figure.

    eer: equal error rate, a share in [0, 1]. cllr: cost of the log-likelihood ratios (bits); 1 is worth nothing.
    """

    eer: float
    cllr: float


@dataclass(frozen=True)
class Domain:
    """What a calibration was fitted on. It is right for recordings like those.

    manifest: name of the file. digest: of its content. recordings, speakers: how many. seconds: recordings were cut to so many.
    enrol_utterances: recordings of an enrolled voice. identity: what makes a target trial, "speaker", or "speaker, across
    sessions". conditions: fields of each, see
    `verification.trials.conditions.Condition`. noises, rir: digests of manifests by name, of what the conditions were made with.
    targets, nontargets: trials that were fitted, of all conditions. seed: of trials and mixtures.
    """

    manifest: str
    digest: str
    recordings: int
    speakers: int
    seconds: float
    enrol_utterances: int
    identity: str
    conditions: tuple[Mapping[str, Any], ...]
    noises: Mapping[str, str]
    rir: Mapping[str, str]
    targets: int
    nontargets: int
    seed: int

    def __str__(self) -> str:
        """One line for people."""
        names = ", ".join(str(condition["name"]) for condition in self.conditions)
        return (
            f"{self.speakers} speakers of {self.manifest}, {names}; {self.seconds:g} s of each recording, "
            f"{_recordings([self.enrol_utterances])} of each voice"
        )

    def unlike(self, heard: Collection[float], enrolments: Collection[int]) -> str | None:
        """What is heard otherwise than this was fitted on, in a line for people; None where it is alike.

        heard: seconds that one embedding is of, of each recording: of a window, or of the whole. At most ALIKE times more or less
        is alike. enrolments: recordings of each voice. Neither is empty.
        """
        found, remedies = [], []
        if not all(self.seconds / ALIKE <= seconds <= self.seconds * ALIKE for seconds in heard):
            found.append(f"{_span(heard, '.1f')} s are heard at once, it was fitted on {self.seconds:g} s")
            remedies.append("--seconds")
        if set(enrolments) != {self.enrol_utterances}:
            found.append(f"voices have {_recordings(enrolments)}, there {_recordings([self.enrol_utterances])}")
            remedies.append("--enrol-utterances")
        if not found:
            return None
        return (
            f"the calibration is of something else: {'; '.join(found)}; ratios may mislead, another one can be fitted with "
            f"csc calibrate {' and '.join(remedies)}"
        )


@dataclass(frozen=True)
class ModelCalibration:
    """The calibration of one model.

    map: score to LLR. model: whose scores. identity_level: what the model was trained to tell apart. domain: what it was fitted
    on. date: when, YYYY-MM-DD. quality: of all trials together. by_condition: of the trials of each.
    """

    map: Calibration
    model: ModelIdentity
    identity_level: str
    domain: Domain
    date: str
    quality: Quality
    by_condition: Mapping[str, Quality]

    def llr(self, scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Log-likelihood ratios (nats) of scores of any shape: cosines of `EmbeddingModel.score`."""
        return self.map.llr(scores)


def write_calibration(path: str | Path, calibration: ModelCalibration) -> None:
    """Writes it, whole or not at all. InputError if it cannot be written."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(calibration_text(calibration), encoding="utf-8")


def calibration_text(calibration: ModelCalibration) -> str:
    """What its file holds; also `EmbeddingModel.calibration`, which bundles carry."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "scale": calibration.map.scale,
        "offset": calibration.map.offset,
        "model": {**asdict(calibration.model), "identity_level": calibration.identity_level},
        "date": calibration.date,
        "domain": asdict(calibration.domain),
        "quality": asdict(calibration.quality),
        "by_condition": {name: asdict(quality) for name, quality in calibration.by_condition.items()},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_calibration(path: str | Path, model: ModelIdentity) -> ModelCalibration:
    """The calibration of a model in use.

    InputError: no such file, not a calibration, a damaged one, one of another version, one of another model.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {EXPECTED}") from error
    return parse_calibration(content, str(path), model)


def parse_calibration(content: bytes | str, where: str, model: ModelIdentity) -> ModelCalibration:
    """The same from what a file holds. where: its name, for complaints; errors as of `read_calibration`."""
    found = _calibration(_entries(content, where))
    found.model.require(
        model,
        f"{where}: was fitted",
        f"fit one for it: csc calibrate --model {model.name} --manifest DEV.tsv --out NEW.json",
    )
    return found


def _entries(content: bytes | str, where: str) -> Entries:
    try:
        values = json.loads(content) if len(content) <= LONGEST else None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not JSON ({one_line(error)}); {EXPECTED}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{where}: is no calibration; {EXPECTED}")
    entries = Entries(values, where)
    version = entries.whole("version")
    if version != VERSION:
        raise InputError(f"{where}: is a calibration of version {version}, expected {VERSION}; update csc-fairseq")
    return entries


def _calibration(entries: Entries) -> ModelCalibration:
    model, domain = entries.within("model"), entries.within("domain")
    conditions = domain.get("conditions")
    if not isinstance(conditions, list) or not all(isinstance(one, dict) and "name" in one for one in conditions):
        raise domain.unfit("conditions", conditions, "a list of conditions with names")
    by_condition = entries.within("by_condition")
    return ModelCalibration(
        map=Calibration(entries.number("scale", 0, LARGEST), entries.number("offset", -LARGEST, LARGEST)),
        model=ModelIdentity(model.text("name"), model.text("digest")),
        identity_level=model.text("identity_level"),
        domain=Domain(
            manifest=domain.text("manifest"),
            digest=domain.text("digest"),
            recordings=domain.whole("recordings"),
            speakers=domain.whole("speakers"),
            seconds=domain.number("seconds", 0, LARGEST),
            enrol_utterances=domain.whole("enrol_utterances", 1),
            identity=domain.text("identity"),
            conditions=tuple(conditions),
            noises=_digests(domain.within("noises")),
            rir=_digests(domain.within("rir")),
            targets=domain.whole("targets"),
            nontargets=domain.whole("nontargets"),
            seed=domain.whole("seed"),
        ),
        date=entries.text("date"),
        quality=_quality(entries.within("quality")),
        by_condition={name: _quality(by_condition.within(name)) for name in by_condition.values},
    )


def _span(values: Collection[float], form: str = "d") -> str:
    """ "3", or "1 to 3"."""
    texts = [f"{value:{form}}".removesuffix(".0") for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(texts))


def _recordings(counts: Collection[int]) -> str:
    return f"{_span(counts)} recording{'s' if max(counts) > 1 else ''}"


def _digests(entries: Entries) -> dict[str, str]:
    return {name: entries.text(name) for name in entries.values}


def _quality(entries: Entries) -> Quality:
    return Quality(entries.number("eer", 0, 1), entries.number("cllr", 0, LARGEST))
