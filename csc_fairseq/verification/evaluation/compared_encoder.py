"""One of the encoders of a benchmark: what the report says of it, and its embeddings, scores and cohort."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from csc_fairseq.configurations import configuration_files
from csc_fairseq.digests import code_digest, digest, file_digest
from csc_fairseq.verification.encoders.campplus import campplus_files
from csc_fairseq.verification.encoders.embedding_file import FileEncoder
from csc_fairseq.verification.encoders.encoder import Encoder
from csc_fairseq.verification.encoders.ge2e import PACKAGE as GE2E_PACKAGE
from csc_fairseq.verification.encoders.registry import EncoderSource, read_source
from csc_fairseq.verification.encoders.spec import CAMPPLUS, GE2E, UNTRAINED
from csc_fairseq.verification.evaluation.benchmark_options import BenchmarkOptions
from csc_fairseq.verification.evaluation.embedding_runner import EmbeddingRunner, Workers
from csc_fairseq.verification.evaluation.embedding_store import EmbeddingStore, slug
from csc_fairseq.verification.evaluation.evaluation_set import EvaluationSet
from csc_fairseq.verification.evaluation.scoring import Scores, embed_speakers, score_encoder
from csc_fairseq.verification.metrics.score_normalisation import Cohort
from csc_fairseq.verification.trials.conditions import Condition


@dataclass(frozen=True)
class ComparedEncoder:
    """An encoder and what its source tells. Nothing else of a checkpoint is kept.

    text: as it was asked for. description, speakers, hides_speakers: see `EncoderSource`. checkpoints: digests of its files
    of weights; none for encoders without checkpoints. digest: of all that the encoder was made from: files of weights, code,
    sizes or embeddings, or a package's version; None if there is only our own code.
    """

    text: str
    encoder: Encoder
    description: str
    speakers: Mapping[Path, frozenset[str]]
    hides_speakers: bool
    checkpoints: Mapping[Path, str]
    digest: str | None

    @classmethod
    def read(cls, text: str, device: str) -> Self:
        """Reads its checkpoints, once. InputError for what `read_source` and `EncoderSource.encoder` refuse."""
        source = read_source(text)
        encoder = source.encoder(device)
        return cls(
            text,
            encoder,
            source.description,
            source.speakers,
            source.hides_speakers,
            {Path(one.path): file_digest(Path(one.path)) for one in source.checkpoints},
            source_digest(source),
        )

    @property
    def name(self) -> str:
        """As it appears in results."""
        return self.encoder.name


def source_digest(source: EncoderSource) -> str | None:
    """See `ComparedEncoder.digest`. The encoder must have been made: that imports the module of a user's function."""
    own = _embedding_digest(source)
    return own if source.separator is None else digest([own, file_digest(Path(source.separator.path))])


def _embedding_digest(source: EncoderSource) -> str | None:
    """Of what embeds, whatever is separated before."""
    target = source.spec.target
    if target == GE2E:
        return version(GE2E_PACKAGE)
    if target == CAMPPLUS:
        return digest([file_digest(path) for path in campplus_files(source.spec.name)])
    module = sys.modules.get(target.partition(":")[0])
    if source.checkpoint is not None:
        path = Path(source.checkpoint.path)
    elif target.startswith(UNTRAINED):
        files = configuration_files(target.removeprefix(UNTRAINED))
        return file_digest(files[0]) if len(files) == 1 else digest([file_digest(path) for path in files])
    else:
        path = Path(getattr(module, "__file__", None) or target)
    return file_digest(path) if path.is_file() else None


@dataclass(frozen=True)
class EncoderRun:
    """One encoder at work under some conditions; its embeddings are kept in the folder of the results."""

    compared: ComparedEncoder
    options: BenchmarkOptions
    conditions: Sequence[Condition]
    progress: bool = False

    def score(self, tested: EvaluationSet, name: str, cohort: Cohort | None = None) -> dict[str, Scores]:
        """Scores by condition. name: of the folder where embeddings are kept."""
        encoder = self.compared.encoder
        # Embeddings from a file are those of clean recordings.
        possible = [one for one in self.conditions if not (isinstance(encoder, FileEncoder) and one.degraded)]
        with self._runner(tested, name) as runner:
            return score_encoder(runner, tested.trials, possible, cohort)

    def cohort(self, cohort: EvaluationSet) -> Cohort:
        """The speakers of the cohort, each the mean of their clean recordings."""
        with self._runner(cohort, "cohort") as runner:
            return Cohort(embed_speakers(runner), self.options.top_k)

    def _runner(self, heard: EvaluationSet, name: str) -> EmbeddingRunner:
        jobs, compared = self.options.jobs, self.compared
        return EmbeddingRunner(
            compared.encoder,
            heard.material(compared.encoder.sample_rate),
            Workers(compared.text, jobs) if jobs > 1 else None,
            self._store(name),
            [code_digest(), compared.text, compared.digest, self.options.device, *heard.key],
            self.progress,
        )

    def _store(self, name: str) -> EmbeddingStore:
        # Names of encoders may hold anything, names of folders may not.
        folder = f"{slug(self.compared.name)}-{digest(self.compared.text)[:8]}"
        return EmbeddingStore(self.options.out / "embeddings" / folder / name)
