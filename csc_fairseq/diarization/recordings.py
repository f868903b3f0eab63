"""From recordings to the files of their diarization, one recording after the other."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from csc_fairseq.data.audio import load_crop, probe, require_format, write_wav
from csc_fairseq.data.manifest import write_lines
from csc_fairseq.data.rttm import Turn, file_id_of, read_rttm, write_rttm
from csc_fairseq.diarization.page import Player, RecordingPage, embedded, linked, render_page
from csc_fairseq.diarization.result_files import ResultFiles
from csc_fairseq.diarization.turns import COLUMNS, name_of, table, talking_times, turns_of
from csc_fairseq.digests import code_digest, file_digest
from csc_fairseq.errors import InputError
from csc_fairseq.inference.embedding_model import EmbeddingModel
from csc_fairseq.text import read_lines

if TYPE_CHECKING:
    from csc_fairseq.inference.long_recordings import Conversation

EMBEDDED_SECONDS = (
    30.0  # the sounds of longer recordings are played from their files: a page of an hour would have hundreds of MB
)
ALWAYS = (".rttm", ".tsv", ".html")


@dataclass(frozen=True)
class DiarizeOptions:
    """talkers: how many there are; most: how many at most; None: as many as are found. separated: a WAV for each of them.

    resample: convert recordings of another rate.
    """

    talkers: int | None = None
    most: int | None = None
    separated: bool = False
    resample: bool = False


@dataclass(frozen=True)
class Diarized:
    """What is known of a recording.

    file: the recording. file_id: its name in RTTM. page: its HTML file. seconds: its length. rows: the table of talking times,
    under `turns.COLUMNS`. turns: as they are in the RTTM. kept: whether the files were there already.
    """

    file: Path
    file_id: str
    page: Path
    seconds: float
    rows: list[tuple[str, ...]]
    turns: list[Turn]
    kept: bool

    def text(self) -> str:
        """What to print: a line, and one for each talker."""
        known = " (as it was: the same recording, model and options)" if self.kept else ""
        if not self.rows:
            return f"{self.file}: no voice was found in its {self.seconds:.1f} s; {self.page}{known}"
        people = f"{len(self.rows)} talker{'s' if len(self.rows) > 1 else ''}"
        lines = [f"{self.file}: {people} in {self.seconds:.1f} s; {self.page}{known}"]
        for talker, spoken, alone, share, turns in self.rows:
            lines.append(f"  {talker:10} {spoken:>9} s ({share:>5} %), alone {alone:>9} s, turns {turns:>5}")
        return "\n".join(lines)


def seconds_of(files: Sequence[Path]) -> dict[str, float]:
    """The length of each recording by its file id. InputError: a faulty header, or two recordings of one name."""
    found: dict[str, float] = {}
    for file in files:
        info = probe(file)
        if file_id_of(file) in found:
            raise InputError(f"{file}: another recording has this name, {file_id_of(file)}; give each its own --out")
        found[file_id_of(file)] = info.frames / info.sample_rate
    return found


def refuse_results(references: Sequence[Path], files: Sequence[Path], out: Path) -> None:
    """InputError if one of the references is the RTTM that the diarization of these recordings writes in this folder."""
    results = {(out / f"{file_id_of(file)}.rttm").resolve() for file in files}
    for path in references:
        if path.resolve() in results:
            raise InputError(
                f"{path}: is what `csc diarize` writes here, so it is no reference; move a corrected one away, or choose "
                "another --out"
            )


def diarize_files(
    model: EmbeddingModel, model_file: Path, files: Sequence[Path], out: Path, options: DiarizeOptions
) -> Iterator[Diarized]:
    """Diarizes recordings one after the other; those whose files are complete are left as they are.

    Args:
        model: of model_file. files: recordings of different names. out: folder, made if it is missing.

    Yields:
        One result a recording, in their order, once its files are written.

    Raises:
        InputError: before any work, a file in the way that no diarization wrote or that was changed since, a faulty header or
            another rate, two recordings of one name, a model that does not separate with `separated`; then a faulty recording, or a
            folder that cannot be written.
    """
    seconds = seconds_of(files)
    if options.separated:
        model.require_separation()
    made_by = {"model": file_digest(model_file), "options": asdict(options), "code": code_digest()}
    results = {}
    for file in files:
        require_format(file, probe(file), model.sample_rate, options.resample)
        origin = made_by | {"recording": {"path": str(file.resolve()), "digest": file_digest(file)}}
        results[file] = ResultFiles(out, file_id_of(file), origin)
        results[file].require_ours(ALWAYS)
    for file, result in results.items():
        kept = result.complete()
        if not kept:
            _diarize(model, file, result, options)
        yield Diarized(
            file=file,
            file_id=result.name,
            page=result.path(".html"),
            seconds=seconds[result.name],
            rows=[tuple(line.split("\t")) for line in read_lines(result.path(".tsv"))[1:]],
            turns=read_rttm(result.path(".rttm")).get(result.name, []),
            kept=kept,
        )


def _diarize(model: EmbeddingModel, file: Path, result: ResultFiles, options: DiarizeOptions) -> None:
    """Writes the files of one recording."""
    found = model.conversation(
        file, talkers=options.talkers, most=options.most, resample=options.resample, waveforms=options.separated
    )
    windows, people = found.windows, found.talkers
    turns, times = turns_of(people, windows), talking_times(people, windows)
    seconds = windows.samples / windows.sample_rate
    voices = [f"_{name_of(n)}.wav" for n in range(len(people.centres))] if options.separated else []
    with result.replacing([*ALWAYS, *voices]) as temporary:
        write_rttm(temporary(".rttm"), result.name, turns)
        rows = [COLUMNS, *table(times, seconds)]
        write_lines(temporary(".tsv"), ["\t".join(row) for row in rows])
        recording = _recording_player(model, file, result, options, seconds)
        players = [
            _voice_player(found, number, temporary(ending), result.path(ending), seconds)
            for number, ending in enumerate(voices)
        ]
        page = RecordingPage(file.name, seconds, turns, times, windows, people, recording, players)
        temporary(".html").write_text(render_page(page), encoding="utf-8")


def _recording_player(
    model: EmbeddingModel, file: Path, result: ResultFiles, options: DiarizeOptions, seconds: float
) -> Player:
    if seconds <= EMBEDDED_SECONDS:
        return embedded("The recording", load_crop(file, 0, -1, model.sample_rate, options.resample), model.sample_rate)
    path = os.path.relpath(file.resolve(), result.folder.resolve())
    return linked("The recording", path, file.stat().st_size)


def _voice_player(found: "Conversation", number: int, written: Path, path: Path, seconds: float) -> Player:
    """Writes a talker's WAV; 32-bit float, so that one beyond full scale is not clipped."""
    samples: np.ndarray = found.waveform(number)
    write_wav(written, samples, found.windows.sample_rate)
    if seconds <= EMBEDDED_SECONDS:
        return embedded(name_of(number), samples, found.windows.sample_rate)
    return linked(name_of(number), path.name, written.stat().st_size)
