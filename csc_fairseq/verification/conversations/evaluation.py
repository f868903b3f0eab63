"""What `csc evaluate --conversations` does: systems on folders of conversations, to a table.

What was measured of a conversation is kept in the folder of the results, with a key of all that it depends on: an interrupted
evaluation goes on when it is started again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from csc_fairseq.data.audio import load_crop
from csc_fairseq.data.conversation_drawing import safe_names
from csc_fairseq.data.conversation_folder import RecordedConversation, read_conversations
from csc_fairseq.diarization.scoring import error_seconds
from csc_fairseq.digests import file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.verification.conversations.measured_store import KINDS, MeasuredStore
from csc_fairseq.verification.conversations.summary import Summary, summarise, tables
from csc_fairseq.verification.conversations.systems import System, make_system
from csc_fairseq.verification.encoders.registry import read_source
from csc_fairseq.verification.evaluation.benchmark_options import check_bootstrap, check_named_once, check_names_differ
from csc_fairseq.verification.evaluation.compared_encoder import source_digest
from csc_fairseq.verification.evaluation.evaluation_set import OR_FORCE, refuse_shared_speakers
from csc_fairseq.verification.evaluation.preflight import require_rate_of
from csc_fairseq.verification.evaluation.result_files import results_in, write_results
from csc_fairseq.verification.evaluation.tables import Table

DISTANCES = np.geomspace(0.005, 1.2, 40).round(4)  # cosine distances that are tried on development conversations


@dataclass(frozen=True)
class ConversationEvaluation:
    """folders: of conversations, each a row of the table. encoders: what `make_system` takes. out: folder of the results.

    dev: development conversations, to which the distance is fitted at which clustering stops, for encoders that only embed; without
    them these are measured only where the number of talkers is given. device: where encoders run. force: whether speakers that an
    encoder was trained on are accepted. replicates, seed: of the bootstrap.

    InputError, naming the options of `csc evaluate`, for values that are wrong whatever the files hold.
    """

    folders: tuple[Path, ...]
    encoders: tuple[str, ...]
    out: Path
    dev: Path | None = None
    device: str = "cpu"
    force: bool = False
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_bootstrap(self.replicates, self.seed)
        check_named_once("--conversations", self.folders)
        if self.dev is not None and self.dev.resolve() in [path.resolve() for path in self.folders]:
            raise InputError(f"--dev {self.dev}: is among --conversations; figures need others than those of the fit")


def evaluate_conversations(options: ConversationEvaluation, progress: bool = False) -> list[Table]:
    """Measures, and writes results.json, results.md and what goes on after an interruption to `out`; the tables.

    InputError: faulty conversations, encoders, speakers of the training, speakers of the development conversations in others,
    recordings of another rate, files of others in `out`. Speakers of real conversations are not known: their RTTM names talkers of
    one recording.
    """
    folders = {path: read_conversations(path) for path in options.folders}
    dev = [] if options.dev is None else read_conversations(options.dev)
    for path, conversations in folders.items():
        refuse_shared_speakers(path, _speakers(conversations), {options.dev: _speakers(dev)})
    _refuse_shared_recordings(folders, dev)
    names = dict(zip(options.folders, _distinct([path.resolve().name for path in options.folders]), strict=True))
    systems = [make_system(text, options.device) for text in options.encoders]
    check_names_differ([system.name for system in systems])
    sources = [read_source(text) for text in options.encoders]
    for source, system in zip(sources, systems, strict=True):
        for path, conversations in (*folders.items(), (options.dev, dev)):
            if not options.force:
                refuse_shared_speakers(path, _speakers(conversations), source.speakers, OR_FORCE)
            for conversation in conversations:
                require_rate_of(system.name, system.sample_rate, conversation.audio)
    summaries: list[Summary] = []
    distances: dict[str, float | None] = {}
    with results_in(options.out, "--conversations") as folder:
        for source, system, slug in zip(sources, systems, safe_names([one.name for one in systems]), strict=True):
            store = MeasuredStore(folder.path / "measured" / slug, [source.text, source_digest(source), options.device])
            distance = _fitted(system, dev, store, progress) if system.needs_distance and dev else None
            distances[system.name] = distance
            for path, conversations in folders.items():
                measured = [
                    store.measured(system, conversation, distance)
                    for conversation in _shown(conversations, f"{system.name}, {names[path]}", progress)
                ]
                for kind in KINDS:
                    own = [one[kind] for one in measured if kind in one]
                    if own:
                        summaries.append(
                            summarise(system.name, names[path], kind, own, options.replicates, options.seed)
                        )
        found = tables(summaries)
        write_results(folder, "Conversations", _facts(options, distances), summaries, found)
    return found


def _shown(conversations: Sequence[RecordedConversation], title: str, progress: bool) -> Iterable[RecordedConversation]:
    """With a bar, unless standard error is a file or a pipe."""
    hidden = None if progress else True
    return tqdm(conversations, title, unit="conversation", leave=False, disable=hidden)


def _fitted(system: System, dev: Sequence[RecordedConversation], store: MeasuredStore, progress: bool) -> float:
    """The distance with the lowest DER of all development conversations together (collar 0, with overlap); the middle of equals."""

    def fit() -> float:
        wrong = np.zeros(len(DISTANCES))
        for conversation in _shown(dev, f"{system.name}, development", progress):
            heard = system.hear(load_crop(conversation.audio, 0, -1, system.sample_rate))
            for number, distance in enumerate(DISTANCES):
                turns = heard.diarized(None, float(distance)).turns
                wrong[number] += error_seconds(conversation.turns, turns, conversation.seconds).wrong
        best = np.flatnonzero(wrong <= wrong.min() + 1e-9)
        return float(DISTANCES[best[len(best) // 2]])

    return store.value(store.distance(dev), fit)


def _speakers(conversations: Sequence[RecordedConversation]) -> set[str]:
    """Everybody who is enrolled, as far as it is known."""
    return {voice.speaker for one in conversations for voice in one.voices}


def _refuse_shared_recordings(
    folders: Mapping[Path, Sequence[RecordedConversation]], dev: Sequence[RecordedConversation]
) -> None:
    """InputError if a development conversation is in another folder too: of real ones no speakers are known."""
    fitted = {file_digest(one.audio): one.audio for one in dev}
    tested = [one for conversations in folders.values() for one in conversations]
    for one in tested if fitted else []:
        if other := fitted.get(file_digest(one.audio)):
            raise InputError(f"{one.audio}: is the recording of {other} too, to which --dev fits; choose others")


def _distinct(names: list[str]) -> list[str]:
    return names if len(set(names)) == len(names) else [f"{number}. {name}" for number, name in enumerate(names, 1)]


def _facts(options: ConversationEvaluation, distances: dict[str, float | None]) -> dict[str, object]:
    return {
        "conversations": [str(path.absolute()) for path in options.folders],
        "development": None if options.dev is None else str(options.dev.absolute()),
        "encoders": list(options.encoders),
        "distances": distances,
        "replicates": options.replicates,
        "seed": options.seed,
    }
