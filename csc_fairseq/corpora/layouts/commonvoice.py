"""Common Voice (commonvoice.mozilla.org; Ardila et al., LREC 2020): one language's clips/NAME.mp3 and tables of them.

``train.tsv``, ``dev.tsv`` and ``test.tsv`` share no speakers; ``validated.tsv`` has all clips that listeners approved. They are
separated by tabs, with the columns client_id, path, sentence, gender and others, and quotes in sentences as they were typed.
Those of dev and test of small languages have no rows.
"""

import os
from pathlib import Path, PurePosixPath

from csc_fairseq.corpora.corpus import Corpus, Part, decoded_part, gender_of, require_decoder, require_folder
from csc_fairseq.corpora.preparation import EXTENSIONS, Recording
from csc_fairseq.corpora.tables import TableRow, read_table
from csc_fairseq.errors import InputError

CLIPS, ENCODED = "clips", "mp3"
SPLITS = ("train", "dev", "test")
COLUMNS = ("client_id", "path")


def read(root: Path, audio: Path, validated: bool = False) -> Corpus:
    """Clips of the official splits whose tables are there.

    validated: train is validated.tsv without the speakers of dev.tsv and test.tsv. Clips without a WAV, FLAC or Ogg of the same
    name beside them are decoded to `audio` (`decoded_part`). Faults: rows without a file. InputError: no tables or clips; ffmpeg is
    needed and missing.
    """
    require_folder(root / CLIPS, "clips/NAME.mp3 of one language, beside train.tsv")
    tables = {split: root / f"{split}.tsv" for split in SPLITS if (root / f"{split}.tsv").is_file()}
    notes = []
    if validated:
        tables["train"] = root / "validated.tsv"
    if not tables:
        raise InputError(
            f"{root / 'train.tsv'}: no such file; expected train.tsv, dev.tsv and test.tsv of the language in ROOT"
        )
    rows = {split: read_table(path, COLUMNS, may_be_empty=True) for split, path in tables.items()}
    if validated:
        unseen = {row.cells["client_id"] for split in ("dev", "test") for row in rows.get(split, ())}
        kept = [row for row in rows["train"] if row.cells["client_id"] not in unseen]
        notes.append(f"left out, of speakers of dev and test: {len(rows['train']) - len(kept)} clips of validated.tsv")
        rows["train"] = kept
    files: dict[str, dict[str, str]] = {}  # names by stem and ending
    for entry in os.scandir(root / CLIPS):
        stem, _, ending = entry.name.rpartition(".")
        files.setdefault(stem, {})[ending.lower()] = entry.name
    found = [_part(root, audio, split, tables[split], own, files) for split, own in sorted(rows.items()) if own]
    parts, faults = [part for part, _ in found], [fault for _, own in found for fault in own]
    if empty := sorted(split for split, own in rows.items() if not own):
        notes.append(f"without clips: {', '.join(tables[split].name for split in empty)}")
    if not any(recordings for part in parts for recordings in part.splits.values()):
        raise InputError(faults[0] if faults else f"{tables[empty[0]]}: has no rows, as all tables; expected clips")
    require_decoder(root / CLIPS, parts, ENCODED)
    return Corpus(parts, ("spk", "gender"), notes=notes, faults=faults)


def _part(
    root: Path, audio: Path, split: str, table: Path, rows: list[TableRow], files: dict[str, dict[str, str]]
) -> tuple[Part, list[str]]:
    """One split, and a line for each clip that is not there."""
    recordings, faults = [], []
    for row in rows:
        own = files.get(str(PurePosixPath(row.cells["path"]).with_suffix("")), {})
        names = [own[ending] for ending in (*EXTENSIONS, ENCODED) if ending in own]
        if not names:
            faults.append(
                f"{table}:{row.line}: no file for {row.cells['path']} in {root / CLIPS}, expected .{ENCODED} or "
                f"{', '.join(EXTENSIONS)}; unpack all clips, or remove the row"
            )
            continue
        gender = gender_of(row.cells.get("gender", ""))
        speaker = f"commonvoice/{row.cells['client_id']}"
        recordings.append(Recording(f"{CLIPS}/{names[0]}", 0, speaker, gender=gender))
    recordings.sort(key=lambda one: one.name)
    return decoded_part(root, audio, split, recordings, ENCODED), faults
