"""A full disk, by a limit on the size of files: one line, what was there stays, the same command succeeds after room was made."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from csc_fairseq.cli.main import main
from tests.making import bundled, speaker_encoder, voice, write_recording, write_voices

ROOM = 100  # bytes


@contextmanager
def no_room() -> Iterator[None]:
    """No file grows beyond ROOM. Python has the signal of it ignored, so that writing raises OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "files.json")
    }


@pytest.fixture
def place(tmp_path) -> Path:
    """Voices with manifests, a recording and a model; `out` is where the results go."""
    write_voices(tmp_path, "test", {speaker: range(3) for speaker in range(4)})
    write_recording(tmp_path / "one.wav", voice(9, 1))
    bundled(speaker_encoder(0), tmp_path / "model.pt")
    (tmp_path / "two.yaml").write_text("- {name: clean}\n")
    (tmp_path / "out").mkdir()
    return tmp_path


EVALUATE = (
    "evaluate --encoder mfcc --manifest {}/test.tsv --conditions {}/two.yaml --replicates 10 --jobs 1 --out {}/out"
)
VERBS = {
    "prepare": ("prepare audio {}/audio --out {}/out/x.tsv", "x.tsv"),
    "embed": ("embed {}/test.tsv --model {}/model.pt --out {}/out/x.npz", "x.npz"),
    "separate": ("separate {}/one.wav --model {}/model.pt --out {}/out", "one_1.wav"),
    "export": ("export {}/model.pt --format bundle --out {}/out/x.pt", "x.pt"),
    "trials": ("trials --manifest {}/test.tsv --out {}/out/x.txt", "x.txt"),
    "pack": ("pack {}/test.tsv --out {}/out", "test-00000.zip"),
    "evaluate": (EVALUATE, "trials.txt"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_one_line_and_nothing_lost(place, capsys, verb):
    line, name = VERBS[verb]
    words = line.replace("{}", str(place)).split()
    if verb not in ("pack", "evaluate"):  # which leave files of others alone
        (place / "out" / name).write_text(
            f"{place}\n" if verb == "prepare" else "of yesterday"
        )  # a manifest, or anything
    before = files_below(place / "out")
    with no_room():
        assert main(words) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1] == (
        f"csc {verb}: {place}/out/{name}: cannot be written (File too large); make room, or choose another place"
    )
    assert len([line for line in told if not line.startswith("\r")]) == 1
    assert files_below(place / "out") == before
    assert main(words) == 0
    after = files_below(place / "out")
    assert set(before) < set(after) or len(after[name]) > ROOM
    assert not [name for name in after if name.endswith(".tmp")]
