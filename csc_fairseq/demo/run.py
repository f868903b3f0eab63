"""The demo from start to end: corpus, training, verification, page. Results of finished steps are used again."""

import json
import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import linear_sum_assignment

from csc_fairseq.data.manifest import read_labels, read_manifest
from csc_fairseq.data.rendering import Mixture
from csc_fairseq.demo import pictures
from csc_fairseq.demo.corpus import CorpusOptions, build_corpus
from csc_fairseq.demo.page_text import ORIGINS, RESULTS_NOTE, summary
from csc_fairseq.demo.report import Headline, Report, Sound, render_page, text_table, wav
from csc_fairseq.demo.training import UPDATE, History, read_history, train, training_command
from csc_fairseq.digests import digest
from csc_fairseq.inference.loading import load_model
from csc_fairseq.inference.speaker_encoder import SpeakerEncoder
from csc_fairseq.verification.encoders.csc import CscEncoder
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet, LabelledTrials
from csc_fairseq.verification.evaluation.results import Result, measure, read_result
from csc_fairseq.verification.evaluation.scoring import score_encoder
from csc_fairseq.verification.metrics.separation_quality import separation_quality
from csc_fairseq.verification.trials.conditions import CLEAN, Condition
from csc_fairseq.verification.trials.material import Material

TALKER = Condition("talker 0 dB", talkers=1, sir_db=0.0)
SEED = 0  # of trials, interferers and crops in verification; the default of `csc evaluate`
LONGEST_SECONDS = 10.0  # of recordings in verification; also the default of `csc evaluate`
EXAMPLES = 15  # mixtures; the page plays the median one, neither the best nor the worst
# What the demo changes in csc_debug, so that training takes about five minutes on two cores.
OVERRIDES = (
    # No labels: a recording is an identity, and its two views find each other among all talkers of a batch.
    "task.identity=utterance",
    "model.global_vectors=views",
    "model.memory=none",
    "checkpoint.best_checkpoint_metric=view_eer",
    "task.view_seconds=2",
    # Voices are learnt fastest alone, but separation needs mixtures. The share changes over the first 300 updates.
    "task.single_talker_share_start=0.8",
    "task.single_talker_share=0.2",
    "task.curriculum_epochs=6",
    "task.valid_recordings=0",
    # Half of csc_debug's window: separation improves more than the time grows.
    "model.window=128",
    "model.waveform_channels=128",
    "model.segment_frames=24",
    "criterion.contrastive_weight=0.7",  # both tasks then act on the trunk about equally
    "dataset.validate_interval=1000",  # epochs, so never; the next line counts updates
    "dataset.validate_interval_updates=100",
    "checkpoint.save_interval=1000",
    "checkpoint.save_interval_updates=100",
    "optimization.stop_time_hours=0.11",  # a slow machine makes fewer updates, so that the demo ends in time
)


@dataclass(frozen=True)
class Example:
    """A mixture of two held-out voices, its streams [C, T] in the order of the voices, and their SI-SNR improvement (dB).

    enrolment: another recording of the first voice.
    """

    enrolment: Path
    mixture: Mixture
    streams: np.ndarray
    improvement_db: float


def run_demo(out: Path, options: CorpusOptions, updates: int) -> Path:
    """Make corpus/, train/ and the page below `out`. Prints its steps and results, and returns the path of the page.

    InputError if a step fails. Finished steps are kept for the next run.
    """
    begun = perf_counter()
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    corpus, training = out / "corpus", out / "train"

    _say(1, f"synthetic voices, into {corpus}")
    _reused(build_corpus(corpus, options))
    overrides = training_overrides(corpus, training, updates)
    key = digest([overrides, (corpus / "complete").read_text()])
    _say(2, f"training, {updates} updates, into {training}")
    _reused(train(training, overrides, updates, key))
    history = read_history(training / "train.log")
    if history.last(UPDATE) < updates:
        print(f"      time was up after {history.last(UPDATE):.0f} of {updates} updates", flush=True)
    checkpoint = training / "checkpoints" / "checkpoint_last.pt"  # the figures of the last validation are of this one
    model = load_model(checkpoint)
    assert isinstance(model, SpeakerEncoder)  # what csc pre-trains
    manifest = read_manifest(corpus / "test.tsv")
    speakers = read_labels(manifest, "spk")
    labelled = LabelledTrials.all_pairs(manifest, SEED)
    material = EvaluationSet(manifest, labelled, LONGEST_SECONDS, SEED).material(model.sample_rate)
    _say(3, f"verification of {len(set(speakers))} voices that were never heard in training")
    results = verify(out / "results.json", key, model, material, labelled)
    rows = headlines(results, history)
    _say(4, "the page")
    one = example(model, material)
    (out / "mixture.wav").write_bytes(wav(one.mixture.samples, model.sample_rate))
    page = Report(
        title="CSC demo: speaker embeddings that keep working while someone else talks",
        summary=summary(options, history, len(set(speakers))),
        headlines=rows,
        results_note=RESULTS_NOTE,
        curves=pictures.curves(panels(history)),
        sounds=sounds(one, model.sample_rate),
        sample_rate=model.sample_rate,
        embeddings=pictures.embedding_map(model.embed([manifest.file(i) for i in range(len(manifest))]), speakers),
        origins=ORIGINS,
        commands=commands(out, overrides, checkpoint, one.enrolment),
    )
    path = out / "index.html"
    path.write_text(render_page(page), encoding="utf-8")
    print(f"\n{text_table(rows)}\n\n{path} ({perf_counter() - begun:.0f} s in all)")
    return path


def training_overrides(corpus: Path, folder: Path, updates: int) -> list[str]:
    """What the demo changes in csc_debug."""
    lengths = [f"optimization.max_update={updates}", f"lr_scheduler.warmup_updates={min(50, updates // 10)}"]
    return [f"task.data={corpus}", f"hydra.run.dir={folder}", *lengths, *OVERRIDES]


def verify(path: Path, key: str, model: SpeakerEncoder, material: Material, labelled: LabelledTrials) -> list[Result]:
    """Results for clean speech and for another talker at 0 dB. They are kept in `path` under `key` for the next run."""
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["key"] == key and "results" in kept:
            _reused(False)
            return [read_result(result) for result in kept["results"]]
    with EmbeddingRunner(CscEncoder("csc", model), material, progress=True) as runner:
        scores = score_encoder(runner, labelled.trials, [CLEAN, TALKER])
    results, _ = measure("csc", scores, labelled, seed=SEED)
    path.write_text(json.dumps({"key": key, "results": [asdict(result) for result in results]}, indent=2))
    return results


def headlines(results: list[Result], history: History) -> list[Headline]:
    """The rows of the table of results."""
    clean, talker = results
    cap = history.last("valid_bound_cap")
    trials = "{0.targets} target and {0.nontargets} non-target trials, 95 % interval {1:.1f} to {2:.1f} %"

    def error(result: Result) -> tuple[str, str]:
        return f"{100 * result.eer.value:.1f} %", trials.format(result, 100 * result.eer.low, 100 * result.eer.high)

    return [
        Headline("EER, clean", *error(clean)),
        Headline("EER, another talker at 0 dB", *error(talker)),
        Headline("SI-SNR improvement", f"{talker.si_snri:+.1f} dB", "mean over both talkers of the mixtures at 0 dB"),
        Headline(
            "Mutual information, at least",
            f"{history.last('valid_bound'):.2f} nats",
            f"of at most {cap:.2f}, the log of the {math.exp(cap):.0f} recordings in a batch; held-out recordings, mixed",
        ),
        Headline(
            "Other view, EER",
            f"{history.last('valid_view_eer'):.1f} %",
            "of pairs of streams in those mixtures: two views of one recording, or of two; 50 % by chance",
        ),
    ]


def panels(history: History) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """The curves of the page: (title, {"training" or "validation": [(update, value), …]}) for each panel."""

    def both(name: str) -> dict[str, list[tuple[float, float]]]:
        return {"training": history.curve(name), "validation": history.curve(f"valid_{name}")}

    return [
        ("loss (dB + λ nats)", both("loss")),
        ("contrastive loss ℓ(q), nats", both("query_loss")),
        ("SI-SNR improvement, dB", {"validation": history.curve("valid_si_snri")}),
        ("bound on I(s; g), nats", {"validation": history.curve("valid_bound")}),
    ]


def example(model: SpeakerEncoder, material: Material) -> Example:
    """The example with the median SI-SNR improvement, of EXAMPLES mixtures at 0 dB, evenly spaced in the manifest."""
    pool = material.pool
    examples = []
    for recording in sorted({number * len(pool) // EXAMPLES for number in range(EXAMPLES)}):
        mixture = material.render(TALKER, recording, "test")
        enrolment = next(i for i in pool.members(pool.groups[recording]) if i != recording)
        streams = model.separate(mixture.samples)
        improvement = separation_quality(streams, mixture, model.sample_rate).si_snri
        order = linear_sum_assignment(mixture.sources @ streams.T, maximize=True)[1]
        examples.append(Example(pool.path(enrolment), mixture, streams[order], improvement))
    return sorted(examples, key=lambda one: one.improvement_db)[len(examples) // 2]


def sounds(one: Example, sample_rate: int) -> list[Sound]:
    """What the page plays: the mixture, the separated streams, and the original voices."""
    gain = f"{one.improvement_db:+.1f} dB SI-SNR improvement, the median of {EXAMPLES} mixtures"
    named = [(f"Mixture of two voices never heard in training, at 0 dB ({gain})", one.mixture.samples)]
    named += [(f"Separated stream {number}", stream) for number, stream in enumerate(one.streams, start=1)]
    named += [(f"For comparison: voice {number}", voice) for number, voice in enumerate(one.mixture.sources, start=1)]
    return [Sound(title, samples, pictures.spectrogram(samples, sample_rate)) for title, samples in named]


def commands(out: Path, overrides: list[str], checkpoint: Path, enrolment: Path) -> list[str]:
    """The demo's steps as shell commands, and commands to try with the mixture of the page."""
    program, *arguments = training_command(overrides)
    mixture, model = str(out / "mixture.wav"), ["--model", str(checkpoint)]
    lines = [
        [Path(program).name, *arguments],
        ["csc", "evaluate", "--encoder", str(checkpoint), "--manifest", str(out / "corpus" / "test.tsv")]
        + ["--out", str(out / "evaluation")],
        ["csc", "separate", mixture, *model, "--out", str(out / "separated")],
        ["csc", "score", str(enrolment), mixture, *model],
    ]
    return [shlex.join(line) for line in lines]


def _say(number: int, what: str) -> None:
    print(f"[{number}/4] {what}", flush=True)


def _reused(made: bool) -> None:
    if not made:
        print("      already there, used again", flush=True)
