"""What `csc evaluate --mixtures` does: models on manifests of fixed mixtures, to a table."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from csc_fairseq.data.conversation_drawing import safe_names
from csc_fairseq.data.fixed_mixtures import FixedMixtures, read_fixed_mixtures
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.inference.loading import model_of
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.registry import EncoderSource, read_source
from csc_fairseq.verification.encoders.spec import EMBEDDINGS, parse_sum
from csc_fairseq.verification.evaluation.benchmark_options import check_bootstrap, check_named_once, check_names_differ
from csc_fairseq.verification.evaluation.compared_encoder import source_digest
from csc_fairseq.verification.evaluation.evaluation_set import OR_FORCE, refuse_shared_speakers
from csc_fairseq.verification.evaluation.preflight import require_rate_of
from csc_fairseq.verification.evaluation.result_files import results_in, write_results
from csc_fairseq.verification.evaluation.tables import Table
from csc_fairseq.verification.mixtures.measuring import MeasuredPieces
from csc_fairseq.verification.mixtures.summary import Summary, summarise, table


@dataclass(frozen=True)
class MixtureEvaluation:
    """manifests: of fixed mixtures, each a row of the table. encoders: checkpoints and bundles of models that separate, with
    NAME= before them or without. out: folder of the results. device: where models run. force: whether speakers that a model was
    trained on are accepted. replicates, seed: of the bootstrap.

    InputError, naming the options of `csc evaluate`, for values that are wrong whatever the files hold.
    """

    manifests: tuple[Path, ...]
    encoders: tuple[str, ...]
    out: Path
    device: str = "cpu"
    force: bool = False
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_bootstrap(self.replicates, self.seed)
        check_named_once("--mixtures", self.manifests)


def evaluate_mixtures(options: MixtureEvaluation, progress: bool = False) -> Table:
    """Measures, and writes results.json, results.md and what goes on after an interruption to `out`; the table.

    InputError: faulty manifests and files, encoders that do not separate, or separate another number of talkers, another rate,
    speakers of the training, files of others in `out`.
    """
    sets = [read_fixed_mixtures(path) for path in options.manifests]
    found = [_separating(text) for text in options.encoders]
    names = [source.spec.name for source, _ in found]
    check_names_differ(names)
    for source, model in found:
        for mixtures in sets:
            _require_fitting(source, model, mixtures, options.force)
    summaries: list[Summary] = []
    hidden = None if progress else True  # None hides the bar if standard error is a file or a pipe
    with results_in(options.out, "--mixtures") as folder:
        for (source, model), slug in zip(found, safe_names(names), strict=True):
            model.to(options.device)
            store = MeasuredPieces(
                folder.path / "measured" / slug, [source.text, source_digest(source), options.device]
            )
            for mixtures in sets:
                title = f"{source.spec.name}, {mixtures.manifest.path.name}"
                with tqdm(total=len(mixtures), desc=title, unit="mixture", leave=False, disable=hidden) as bar:
                    values = store.measured(model, mixtures, bar.update)
                summaries.append(summarise(source.spec.name, mixtures, values, options.replicates, options.seed))
        figures = table(summaries)
        write_results(folder, "Fixed mixtures", _facts(options), summaries, [figures])
    return figures


def _separating(text: str) -> tuple[EncoderSource, EmbeddingModel]:
    """A checkpoint of a model that separates, and the model, on the CPU. InputError for anything else."""
    refused = f"encoder {text}: does not separate mixtures; name a checkpoint or bundle of csc, or of a verifier fine-tuned from it"
    if parse_sum(text) is not None or text.endswith(EMBEDDINGS):
        raise InputError(refused)
    source = read_source(text)
    if source.checkpoint is None or source.spec.options:
        raise InputError(refused)
    flush_denormals()
    model = model_of(source.checkpoint)
    if not model.separates:
        raise InputError(refused)
    return source, model


def _require_fitting(source: EncoderSource, model: EmbeddingModel, mixtures: FixedMixtures, force: bool) -> None:
    """InputError unless the model takes these mixtures, and was trained on none of their speakers."""
    path, name = mixtures.manifest.path, source.spec.name
    if model.streams != mixtures.count:
        raise InputError(
            f"{path}: its mixtures have {mixtures.count} sources, but encoder {name} separates {model.streams} talkers; take a "
            f"model trained with task.sources={mixtures.count}, or leave the manifest out"
        )
    require_rate_of(name, model.sample_rate, mixtures.manifest.file(0))
    if not force and mixtures.speakers is not None:
        refuse_shared_speakers(path, mixtures.speakers.values, source.speakers, OR_FORCE)


def _facts(options: MixtureEvaluation) -> dict[str, object]:
    return {
        "mixtures": [str(path.absolute()) for path in options.manifests],
        "encoders": list(options.encoders),
        "replicates": options.replicates,
        "seed": options.seed,
    }
