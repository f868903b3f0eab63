"""A small corpus of synthetic voices for the demo: spoken by espeak-ng, without any download.

Voices differ in variant, accent, pitch, intonation range and rate. One third of them is held out (test.tsv). The last
utterances of the other voices are for validation (valid.tsv). All of this is our choice: a corpus to try the programs, not
a benchmark.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from csc_fairseq.data.manifest import write_labels, write_lines, write_manifest
from csc_fairseq.data.rng import generator
from csc_fairseq.demo.sentences import sentences
from csc_fairseq.errors import InputError

HIGH = (
    "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "f1", "f2", "f3", "f4", "f5", "grandma", "linda",
    "shelby", "steph", "zac",
)  # fmt: skip
LOW = (
    "Alex", "Andy", "Denis", "Diogo", "Gene", "Henrique", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike",
    "Nguyen", "Reed", "RicishayMax", "adam", "announcer", "antonio", "boris", "david", "ed", "gustave", "iven",
    "john", "kaukovalta", "klatt3", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel",
    "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "sandro",
)  # fmt: skip
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd")
CANDIDATES = 20  # sentences for each utterance that is kept: at the slowest rates most of them last more than 5 s
FEWEST_VOICES = 24


@dataclass(frozen=True)
class CorpusOptions:
    """What is synthesised. seconds: shortest and longest utterance. validation: utterances of each training voice."""

    voices: int = 60
    utterances: int = 12
    validation: int = 2
    seconds: tuple[float, float] = (3.0, 5.0)
    seed: int = 1

    def __post_init__(self) -> None:
        if not FEWEST_VOICES <= self.voices <= len(HIGH) + len(LOW):
            raise InputError(f"found {self.voices} voices, expected {FEWEST_VOICES} to {len(HIGH) + len(LOW)}")
        if not 1 <= self.validation < self.utterances:
            raise InputError(
                f"found {self.validation} of {self.utterances} utterances for validation, expected at least 1, but not all"
            )


@dataclass(frozen=True)
class Voice:
    """One speaker. voice: espeak-ng's name. pitch and range: 0 to 100. rate: words per minute."""

    name: str
    voice: str
    pitch: int
    range: int
    rate: int


def voices(options: CorpusOptions) -> list[Voice]:
    """The voices of the corpus, high and low ones evenly mixed. Each variant is used once, so no two share a vocal tract."""
    low, high = iter(LOW), iter(HIGH)
    chosen = []
    for number in range(options.voices):
        # Any run of voices has the same share of high ones as the whole, so the held-out third is like the rest.
        before, after = (len(HIGH) * n // (len(HIGH) + len(LOW)) for n in (number, number + 1))
        variant = next(high if after > before else low)
        draw = generator(options.seed, "voice", variant)
        chosen.append(
            Voice(
                name=variant.lower(),
                voice=f"{ACCENTS[draw.integers(len(ACCENTS))]}+{variant}",
                pitch=int(draw.integers(25, 76)),
                range=int(draw.integers(30, 71)),
                rate=int(draw.integers(145, 186)),
            )
        )
    return chosen


def is_held_out(number: int) -> bool:
    """Whether the voice of this number is a test speaker. Every third voice is."""
    return number % 3 == 2


def speaking_job(voice: Voice, options: CorpusOptions) -> dict:
    """The job of espeak.synthesise for one voice, without the folder."""
    texts = sentences(generator(options.seed, "sentences", voice.name))
    return {
        "voice": voice.voice,
        # At the full volume of 100, some voices clip.
        "parameters": {"rate": voice.rate, "pitch": voice.pitch, "range": voice.range, "volume": 50},
        "texts": list(islice(texts, CANDIDATES * options.utterances)),
        "utterances": options.utterances,
        "seconds": options.seconds,
    }


def synthesise_voice(job: dict, folder: Path) -> list[dict]:
    """Speak the sentences of one voice in a separate process. For the result see espeak.synthesise.

    InputError with the last line of its error output if the process fails or crashes.
    """
    command = [sys.executable, "-m", "csc_fairseq.demo.espeak"]
    done = subprocess.run(command, input=json.dumps(job | {"folder": str(folder)}), capture_output=True, text=True)
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"voice {job['voice']}: synthesis ended with status {done.returncode}: {complaint[-1]}")
    return json.loads(done.stdout)


def build_corpus(folder: Path, options: CorpusOptions, processes: int = 2) -> bool:
    """Write train/valid/test .tsv, .spk and .txt (transcripts), voices.json and audio/ below `folder`.

    Returns False if exactly this corpus is already there. A voice whose synthesis fails is left out with a warning.
    InputError if fewer than FEWEST_VOICES remain.
    """
    table = voices(options)
    jobs = [speaking_job(voice, options) for voice in table]
    key = hashlib.blake2b(json.dumps([asdict(options), jobs]).encode(), digest_size=16).hexdigest()
    stamp = folder / "complete"
    if stamp.is_file() and stamp.read_text() == key:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    audio = folder / "audio"
    spoken: dict[str, list[dict]] = {}
    with ThreadPoolExecutor(processes) as threads, tqdm(total=len(table), desc="synthesising", unit=" voices") as bar:
        pending = {
            threads.submit(synthesise_voice, job, audio / voice.name): voice.name
            for voice, job in zip(table, jobs, strict=True)
        }
        for future in as_completed(pending):
            try:
                spoken[pending[future]] = future.result()
            except InputError as error:
                tqdm.write(f"warning: left out: {error}", file=sys.stderr)
            bar.update()
    if len(spoken) < FEWEST_VOICES:
        raise InputError(f"{len(spoken)} voices could be spoken, expected at least {FEWEST_VOICES}; see the warnings")
    splits: dict[str, list[tuple[Voice, dict]]] = {"train": [], "valid": [], "test": []}
    for number, voice in enumerate(table):
        for index, utterance in enumerate(spoken.get(voice.name, [])):
            if is_held_out(number):
                split = "test"
            else:
                split = "train" if index < options.utterances - options.validation else "valid"
            splits[split].append((voice, utterance))
    for split, rows in splits.items():
        write_manifest(folder / f"{split}.tsv", audio, [(f"{v.name}/{u['file']}", u["frames"]) for v, u in rows])
        write_labels(folder / f"{split}.spk", [voice.name for voice, _ in rows])
        write_lines(folder / f"{split}.txt", [utterance["text"] for _, utterance in rows])
    described = [asdict(voice) for voice in table if voice.name in spoken]
    (folder / "voices.json").write_text(json.dumps(described, indent=1))
    stamp.write_text(key)  # last, so that a corpus with a stamp is complete
    return True
