"""Every command of the READMEs, in the order in which they stand there, on synthetic voices."""

import glob
import json
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csc_fairseq.cli.main import main
from csc_fairseq.cli.prepare_conversations import HELP
from csc_fairseq.cli.prepare_corpora import KINDS
from csc_fairseq.cli.prepare_mixtures import HELP as MIXTURES
from tests.corpora import trees
from tests.integration.running import BIN, QUICK, QUICK_TUNING, environment
from tests.making import voice, write_recording

REPOSITORY = Path(__file__).resolve().parents[2]
# The quick sizes of the tests' trainings; the words of the README stay as they are.
TRAINING = {
    "csc_debug": ("optimization.max_update=6", *QUICK),
    "csc_small": ("optimization.max_update=6", *QUICK),
    "csc_small_unlabelled": ("optimization.max_update=6", *QUICK),
    "wav2vec2_small": ("optimization.max_update=3", "dataset.max_tokens=64000", "lr_scheduler.warmup_updates=0"),
    "sv_aam": tuple("dataset.valid_subset=dev" if "valid_subset" in word else word for word in QUICK_TUNING),
    "ctc_probe": ("optimization.max_update=3", "dataset.num_workers=0", "lr_scheduler.warmup_updates=1"),
}


def shell_blocks(page: str) -> list[list[str]]:
    """The ```sh blocks of a page, one list of command lines each."""
    text = (REPOSITORY / page).read_text()
    return [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


@pytest.fixture
def place(voices: Path, tmp_path: Path) -> Path:
    """A folder to work in, and /data: speech by speaker with a table of splits, noise and a room response."""
    data = tmp_path / "data"
    shutil.copytree(voices / "audio", data / "speech")
    (data / "recordings").mkdir()
    for number, recording in enumerate(sorted((data / "speech").rglob("*.flac"))):
        write_recording(data / "recordings" / f"{number:03}.wav", soundfile.read(recording)[0])
    rows = [f"s{number:02d} {'train' if number < 5 else 'dev' if number < 8 else 'test'}" for number in range(12)]
    (data / "splits.tsv").write_text("\n".join(rows) + "\n")
    rng = np.random.default_rng(0)
    for name, samples in (("noise/fan", rng.normal(0, 0.05, 48000)), ("rir/room", np.exp(-np.arange(800) / 100.0))):
        folder = (data / name).parent
        folder.mkdir()
        rows = ["name\tsplit"]
        for split in ("train", "test"):
            write_recording(folder / f"{Path(name).name}_{split}.wav", samples[:-1] if split == "test" else samples)
            rows.append(f"{Path(name).name}_{split}\t{split}")
        folder.with_suffix(".tsv").write_text("\n".join(rows) + "\n")
    write_recording(tmp_path / "enrol.wav", voice(9, 1))
    write_recording(tmp_path / "mixture.wav", voice(9, 1) + voice(8, 2))
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    return tmp_path


def write_texts(manifests: Path) -> None:
    """A word for each recording, beside every manifest of speech."""
    for path in manifests.glob("*.spk"):
        words = [("one", "two", "three")[number % 3] for number, _ in enumerate(path.read_text().splitlines())]
        path.with_suffix(".txt").write_text("\n".join(words) + "\n")


SHORT_EVALUATION = ["--replicates", "20", "--seconds", "1", "--jobs", "1"]


def run_line(line: str, place: Path) -> str:
    """Runs one command line of a README in `place` and returns what it printed."""
    words = shlex.split(line.replace("/data/", f"{place}/data/"), comments=True)
    words = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
    folder, around = BIN, environment()
    if words[0] == "fairseq-hydra-train":
        words += TRAINING[words[2]]
    elif words[:3] == ["csc", "evaluate", "--conversations"]:
        words += ["--replicates", "20"]
    elif words[:2] == ["csc", "evaluate"]:
        words += SHORT_EVALUATION
    elif words[0].startswith("examples/"):
        folder = REPOSITORY
        options = {"CSC_OPTIONS": "csc_small", "W2V_OPTIONS": "wav2vec2_small", "TUNE": "sv_aam"}
        options["OPTIONS"] = "csc_small_unlabelled"
        around |= {variable: " ".join(TRAINING[name]) for variable, name in options.items()}
        around |= {"PATH": f"{BIN}:{around['PATH']}", "EVALUATE": " ".join(SHORT_EVALUATION), "ROWS": "bank"}
    done = subprocess.run(
        [str(folder / words[0]), *words[1:]], cwd=place, env=around, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_tour_of_the_readme(place):
    blocks = shell_blocks("README.md")
    (tour,) = [block for block in blocks if block[0] == "csc doctor"]
    printed = {line: run_line(line, place) for line in tour}
    recordings = len((place / "manifests" / "test.spk").read_text().splitlines())
    assert np.load(place / "test.npz")["embeddings"].shape == (recordings, 16)
    assert len(list((place / "separated").glob("*.wav"))) == 2
    score = next(text for line, text in printed.items() if line.startswith("csc score"))
    assert -1 <= float(score.split()[0]) <= 1
    assert "Equal error rate" in next(text for line, text in printed.items() if line.startswith("csc evaluate"))
    assert (place / "evaluation" / "report.html").is_file()


def test_own_recordings_with_the_published_model(place):
    """What a visitor does first, as commands and in Python."""
    (own,) = [block for block in shell_blocks("README.md") if block[0].startswith("csc embed")]
    for line in own:
        run_line(line, place)
    found = np.load(place / "embeddings.npz")
    names = sorted(str(path) for path in (place / "data" / "recordings").glob("*.wav"))
    assert list(found["names"]) == names and found["embeddings"].shape == (len(names), 128)
    assert len(list((place / "separated").glob("mixture_?.wav"))) == 2
    checks = {
        "README.md": "talkers.shape == (2, 128) and voices.shape == (2, 40000) and -1 <= score <= 1",
        "examples/csc/pretrained/README.md": "model.streams == 2",
    }
    for page, check in checks.items():
        (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
        code += f"\nassert embedding.shape == (128,) and {check}\n"
        subprocess.run([str(BIN / "python"), "-c", code], cwd=place, env=environment(), check=True)


@pytest.mark.slow
def test_conversations(place):
    """The page on long recordings, with a published model: one that was hardly trained cannot be calibrated."""
    answers, measured = shell_blocks("docs/CONVERSATIONS.md")
    shutil.copy(REPOSITORY / "examples" / "csc" / "pretrained" / "csc_small.pt", place / "csc.pt")
    (prepare,) = [line for block in shell_blocks("README.md") for line in block if line.startswith("csc prepare")]
    run_line(prepare, place)
    turns = [voice(speaker, take) for speaker, take in ((8, 1), (9, 0), (8, 2), (10, 0), (9, 1), (8, 3))]
    write_recording(place / "meeting.wav", np.concatenate(turns))
    for take in (1, 2):
        write_recording(place / f"anna_{take}.wav", voice(8, 3 + take))
    printed = [run_line(line, place) for line in (*answers, *measured)]
    assert (place / "who" / "meeting.html").is_file() and (place / "who" / "meeting.rttm").is_file()
    assert len(list((place / "conversations").glob("conversation_00?.rttm"))) == 2
    assert " at " in printed[6].splitlines()[0]
    assert "DER" in (place / "table" / "results.md").read_text()


@pytest.mark.slow
def test_walk_through_of_the_example(place):
    for block in shell_blocks("examples/csc/README.md"):
        if any("label" in line or "ablations" in line for line in block):
            continue
        if block[0].startswith("csc prepare transcripts"):
            write_texts(place / "manifests")
        for line in block:
            run_line(line, place)
    assert 0 < json.loads((place / "content.json").read_text())["cer"]
    compared = json.loads((place / "comparison" / "evaluation" / "results.json").read_text())["results"]
    names = {"csc_tuned", "csc_head", "csc", "wav2vec2_tuned", "wav2vec2_head", "wav2vec2", "xvector", "mfcc"}
    assert {result["encoder"] for result in compared} == names
    results = json.loads((place / "evaluation" / "results.json").read_text())
    conditions = {result["condition"] for result in results["results"]}
    assert {"clean", "other noise 0 dB", "rir", "talker 0 dB", "talker + noise + rir"} <= conditions
    assert (place / "runs" / "wav2vec2_small" / "checkpoints" / "checkpoint_last.pt").is_file()


@pytest.mark.slow
def test_walk_through_without_labels(place):
    """The same page's part on learning without labels and the ablations, after its manifests are made."""
    blocks = shell_blocks("examples/csc/README.md")
    without = [block for block in blocks if any("label" in line or "ablations" in line for line in block)]
    assert len(without) == 3
    for block in (blocks[0], *without):
        for line in block:
            run_line(line, place)
    for run in ("runs/round2", "label_free/round2", "ablations/seed1/bank"):
        assert (place / run / "checkpoints" / "checkpoint_last.pt").is_file()


def manifests_readme() -> tuple[str, str]:
    """Its part on published corpora, and the rest."""
    before, corpora, after = re.split(
        r"^(?=## Corpora|## Any other folders)", (REPOSITORY / "manifests/README.md").read_text(), flags=re.MULTILINE
    )
    return corpora, before + after


def commands_of(text: str) -> list[str]:
    return re.findall(r"^    (csc .*?)(?: +#.*)?$", text, re.MULTILINE)


def test_corpora_of_the_manifests_readme(tmp_path, monkeypatch, capsys):
    """Every corpus that there is a verb for, on a miniature of it."""
    data = tmp_path / "data"
    for name in (
        "LibriSpeech",
        "VoxCeleb1",
        "VoxCeleb2",
        "CN-Celeb_flac",
        "VCTK",
        "cv-corpus/en",
        "musan",
        "RIRS_NOISES",
        "ami",
        "voxconverse",
        "Libri2Mix",
        "wsj0-mix",
    ):
        other = {"CN-Celeb_flac": "cnceleb", "cv-corpus/en": "commonvoice", "RIRS_NOISES": "rirs"}
        other |= {"Libri2Mix": "librimix", "wsj0-mix": "wsj0_2mix"}
        getattr(trees, other.get(name, name.lower()))(data / name)
    rows = ["file,who,part"]
    for speaker in range(4):
        for take in range(2):
            trees.speak(data / "clips" / f"p{speaker}_{take}.wav", speaker, take)
            rows.append(f"p{speaker}_{take},{speaker},{'test' if speaker == 3 else 'train'}")
    trees.write_text(data / "clips.csv", rows)
    trees.cut_set(data / "aishell")
    monkeypatch.setenv("PATH", trees.ffmpeg(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    text = manifests_readme()[0]
    shown = {}
    for line in commands_of(text):
        words = shlex.split(line.replace("/data/", f"{data}/"))
        assert main(words[1:]) == 0, line
        shown[words[2]] = capsys.readouterr().out.replace(str(data), "/data")
    assert set(shown) == {*KINDS, *HELP, *MIXTURES, "table", "lhotse", "join"}
    (example,) = re.findall(r"lists of a few lines:\n\n((?:    .*\n)+)", text)
    assert shown["voxceleb1"] == textwrap.dedent(example)


@pytest.mark.slow
def test_commands_of_the_manifests_readme(place, voices):
    """Its corpora have a folder level more: LibriSpeech's chapters, and corpora side by side."""
    takes = sorted((voices / "audio").rglob("*.flac"))
    rows, names = ["corpus\tspeaker\tsplit"], ["name\tsplit", "fan_train\ttrain"]
    shutil.rmtree(place / "data" / "speech")
    for take in takes:
        speaker = take.parent.name
        for folder in (f"LibriSpeech/train-clean-100/{speaker}/1240", f"speech/librispeech/{speaker}"):
            (place / "data" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(take, place / "data" / folder / take.name)
    rows += sorted({f"librispeech\t{take.parent.name}\ttrain" for take in takes})
    (place / "speakers.tsv").write_text("\n".join(rows) + "\n")
    (place / "noise.tsv").write_text("\n".join(names) + "\n")
    lines = commands_of(manifests_readme()[1])
    assert len(lines) >= 5
    for line in lines:
        if "*" in line:  # what the shell would do
            manifests = [
                name for name in sorted((place / "manifests/mine").glob("*.tsv")) if name.stem not in ("noise", "rir")
            ]
            line = line.replace("manifests/mine/*.tsv", " ".join(map(str, manifests)))
        run_line(line, place)
    assert (place / "manifests" / "libri" / "train.session").is_file()


def test_other_commands_are_the_makefile_s():
    """`make` commands and the installation by hand: each is a target, or asks for what the Makefile asks for too."""
    makefile = (REPOSITORY / "Makefile").read_text()
    for variable, value in re.findall(r"^(\w+) [:?]= (.*)$", makefile, re.MULTILINE):
        makefile = makefile.replace(f"$({variable})", value)
    blocks = shell_blocks("README.md")
    (targets,) = [block for block in blocks if block[0].startswith("make")]
    (by_hand,) = [block for block in blocks if block[0].startswith("pip")]
    assert {block[0].split()[0] for block in blocks} == {"csc", "make", "pip"}
    for line in targets:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), line
    assert any("--no-build-isolation fairseq-fixed==" in line for line in by_hand)
    for word in 'numpy cython wheel "setuptools>=77,<81" --no-build-isolation fairseq-fixed==0.12.3.1'.split():
        assert word in makefile and any(word in line for line in by_hand), word


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "manifests/README.md",
    *(f"docs/{name}.md" for name in ("CONVERSATIONS", "RELIABILITY")),
    *(f"examples/csc/{name}.md" for name in ("README", "EVALUATION", "RESULTS", "pretrained/README")),
    *(
        f"examples/csc/results/{name}.md"
        for name in ("fine_tuned", "content", "two_cores", "label_free", "campplus", "ablations", "conversations")
    ),
]


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page say after the #."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (REPOSITORY / page).read_text()
    missing = []
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        if "://" not in target and not (file.exists() and (not anchor or anchor in anchors(file))):
            missing.append(target)
    assert missing == [] and "@@" not in text
