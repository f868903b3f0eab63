"""Miniatures of corpora in their published layouts, of synthesised speech: names, tables and quirks are those of the real ones."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.making import SAMPLE_RATE, voice, write_recording

SECONDS = 0.3
FRAMES = round(SECONDS * SAMPLE_RATE)


def speak(
    path: Path, speaker: int, take: int, seconds: float = SECONDS, sample_rate: int = SAMPLE_RATE, channels: int = 1
) -> Path:
    """One recording; of several channels, the first has the voice and the others are softer."""
    samples = voice(speaker, take, seconds * sample_rate / SAMPLE_RATE)
    if channels > 1:
        samples = np.stack([samples / (channel + 1) for channel in range(channels)], axis=1)
    return write_recording(path, samples, sample_rate)


def write_text(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def librispeech(root: Path, seconds: float = SECONDS) -> Path:
    """Two speakers of train-clean-100 with two chapters, one of dev-clean, two of test-other. Reader 60's name holds bars."""
    chapters = {
        "train-clean-100": {"19": ("198", "227"), "60": ("121082", "121538")},
        "dev-clean": {"84": ("121123",)},
        "test-other": {"367": ("130732",), "533": ("1066",)},
    }
    for subset, speakers in chapters.items():
        for speaker, own in speakers.items():
            for chapter in own:
                folder = root / subset / speaker / chapter
                texts = []
                for number in range(3):
                    name = f"{speaker}-{chapter}-{number:04}"
                    speak(folder / f"{name}.flac", int(speaker), int(chapter) % 1000 * 10 + number, seconds)
                    texts.append(f"{name} CHAPTER {('ONE', 'TWO', 'THREE')[number]} IT'S")
                write_text(folder / f"{speaker}-{chapter}.trans.txt", texts)
                (folder / f"._{speaker}-{chapter}.trans.txt").write_bytes(b"Mac OS X \xb0")
    write_text(
        root / "SPEAKERS.TXT",
        [
            "; Some pieces of information about the LibriVox audiobook readers.",
            ";",
            ";ID  |SEX| SUBSET           |MINUTES| NAME",
            "19   | F | train-clean-100  | 25.19 | Kara Shallenberg",
            "60   | M | train-clean-100  | 20.18 | |CBW|Simon",
            "84   | F | dev-clean        | 8.02  | Christie Nowak",
            "367  | F | test-other       | 8.02  | Kathleen Costa",
            "533  | M | test-other       | 8.02  | Someone Else",
        ],
    )
    write_text(root / "CHAPTERS.TXT", ["; not read"])
    return root


FFMPEG = """\
#!/bin/sh
# Stands in for ffmpeg: samples follow the 16 bytes of a header.
source=$5
set -- "$1 $2 $3 $4" "$6 $7 $8 $9 ${10} ${11} ${12} ${13} ${14} ${15}"
options="-nostdin -v error -i | -map 0:a:0 -ac 1 -ar 16000 -f s16le - "
[ "$1 | $2" = "$options" ] || { echo "bad options: $1 | $2" >&2; exit 1; }
[ "$(head -c 8 "$source" | tail -c 4)" = "ftyp" ] || { echo "Invalid data found when processing input" >&2; exit 1; }
exec tail -c +17 "$source"
"""


def ffmpeg(folder: Path) -> str:
    """A program `ffmpeg` in the folder that decodes what `encode` writes; the PATH with it."""
    path = write_text(folder / "ffmpeg", FFMPEG.splitlines())
    path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def encode(path: Path, speaker: int, take: int) -> np.ndarray:
    """A file as .m4a or .mp3, in the eyes of `ffmpeg`; its samples, int16."""
    samples = np.round(voice(speaker, take, SECONDS) * 32767).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + samples.tobytes())
    return samples


VOXCELEB1 = {"id10001": ("dev", "m"), "id10002": ("dev", "f"), "id10270": ("test", "f"), "id10271": ("test", "m")}


def voxceleb1(root: Path, lists: Path | None = None, seconds: float = SECONDS) -> Path:
    """Two speakers of each set with two videos of two utterances, all in wav; the table and three lists in `lists` or the root."""
    for speaker in VOXCELEB1:
        for video, name in enumerate(("8jEAjG6SegY", "x6uYqmx31kE")):
            for number in (1, 2):
                speak(root / "wav" / speaker / name / f"{number:05}.wav", int(speaker[2:]), 2 * video + number, seconds)
    rows = [f"{speaker}\tSome_One\t{gender}\tUSA\t{split}" for speaker, (split, gender) in VOXCELEB1.items()]
    lists = lists or root
    write_text(lists / "vox1_meta.csv", ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet", *rows])
    original = [
        "1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00002.wav",
        "0 id10270/x6uYqmx31kE/00001.wav id10271/8jEAjG6SegY/00001.wav",
    ]
    write_text(lists / "veri_test2.txt", original)
    across = [
        f"0 id10001/x6uYqmx31kE/00001.wav {other}/8jEAjG6SegY/00001.wav" for other in ("id10002", "id10270", "id10271")
    ]
    same = "1 id10001/x6uYqmx31kE/00001.wav id10001/8jEAjG6SegY/00001.wav"
    write_text(lists / "list_test_hard.txt", [*original, *across, same])
    write_text(
        lists / "list_test_all.txt", [*original, "0 id10003/x6uYqmx31kE/00001.wav id10001/8jEAjG6SegY/00001.wav"]
    )
    return root


def voxceleb2(root: Path) -> Path:
    """Two speakers of dev and one of test, as m4a, and the table with its blanks. id00017 is of the test set."""
    for folder, speaker in (("dev/aac", 12), ("dev/aac", 15), ("aac", 17)):
        for video in ("21Uxsk56VDQ", "2DLq_Kkc1r8"):
            for number in (1, 2):
                take = 2 * (video == "2DLq_Kkc1r8") + number
                encode(root / folder / f"id{speaker:05}" / video / f"{number:05}.m4a", speaker, take)
    write_text(
        root / "vox2_meta.csv",
        [
            "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set ",
            "id00012 ,n000012 ,m ,dev ",
            "id00015 ,n000015 ,f ,dev ",
            "id00017 ,n000017 ,m ,test ",
        ],
    )
    return root


def cnceleb(root: Path) -> Path:
    """Seven speakers in data, four of them in the evaluation, one that dev.lst lacks."""
    for speaker in range(800, 807):
        for take in (1, 2, 3):
            genre, number = ("singing", take) if take < 3 else ("vlog", 1)
            speak(root / "data" / f"id{speaker:05}" / f"{genre}-01-{number:03}.flac", speaker, take)
    trials = []
    evaluated = [f"id{speaker:05}" for speaker in (800, 801, 802, 803)]
    for model in evaluated:
        speak(root / "eval/enroll" / f"{model}-enroll.flac", int(model[2:]), 1)
        speak(root / "eval/test" / f"{model}-vlog-01-001.flac", int(model[2:]), 3)
        trials += [f"{model}-enroll test/{test}-vlog-01-001.wav {int(test == model)}" for test in evaluated]
    lists = root / "eval/lists"
    write_text(lists / "enroll.lst", [f"{model}-enroll enroll/{model}-enroll.wav" for model in evaluated])
    write_text(lists / "test.lst", [f"test/{model}-vlog-01-001.wav" for model in evaluated])
    write_text(lists / "trials.lst", trials)
    write_text(root / "dev/dev.lst", ["id00804", "id00805"])
    return root


def vctk(root: Path) -> Path:
    """Three speakers, two utterances, both microphones at 48 kHz; p280 lacks the second, and s5 a line in the table."""
    for speaker in ("p225", "p280", "s5"):
        for number in (1, 2):
            for microphone in (1, 2):
                if (speaker, microphone) != ("p280", 2):
                    name = f"{speaker}_{number:03}_mic{microphone}.flac"
                    path = root / "wav48_silence_trimmed" / speaker / name
                    speak(path, int(speaker[1:]), 2 * number + microphone, sample_rate=48000)
    write_text(root / "wav48_silence_trimmed" / "log.txt", ["not audio"])
    write_text(
        root / "speaker-info.txt",
        [
            "ID  AGE  GENDER  ACCENTS  REGION COMMENTS",
            "p225  23  F    English    Southern  England",
            "p280  25  F  French",
        ],
    )
    return root


def commonvoice(root: Path) -> Path:
    """Clips as mp3 in the eyes of `ffmpeg`, and a quote in a sentence. Two validated clips are not train, one of a test speaker."""
    header = [
        "client_id",
        "path",
        "sentence",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "accents",
        "locale",
        "segment",
    ]
    genders = {"aaa": "female", "bbb": "male_masculine", "ccc": "", "ddd": "other", "eee": "male"}
    clips = {
        "train": [("aaa", 1), ("aaa", 2), ("bbb", 3), ("bbb", 4)],
        "dev": [("ccc", 5), ("ccc", 6)],
        "test": [("ddd", 7), ("eee", 8)],
        "validated": [("aaa", 1), ("aaa", 9), ("bbb", 3), ("eee", 10)],
        "invalidated": [("bbb", 11)],
    }
    for table, own in clips.items():
        rows = []
        for client, number in own:
            name = f"common_voice_en_{number}.mp3"
            encode(root / "clips" / name, ord(client[0]), number)
            rows.append([client, name, 'He said "well.', "2", "0", "", genders[client], "", "en", ""])
        write_text(root / f"{table}.tsv", ["\t".join(cells) for cells in (header, *rows)])
    return root


def musan(root: Path) -> Path:
    """One or two recordings of each part, beside the files of words that the corpus has."""
    for number, name in enumerate(
        ("noise/free-sound", "noise/sound-bible", "music/fma", "speech/librivox", "speech/us-gov")
    ):
        part, source = name.split("/")
        speak(root / name / f"{part}-{source}-0000.wav", 20 + number, 0)
        write_text(root / name / "LICENSE", ["not audio"])
    return root


def rirs(root: Path) -> Path:
    """Simulated responses in two sizes of rooms, real ones of two and eight channels, a noise of eight, a point source."""
    for number, size in enumerate(("smallroom", "mediumroom")):
        speak(root / "simulated_rirs" / size / "Room001" / "Room001-00001.wav", 30 + number, 0)
        write_text(root / "simulated_rirs" / size / "rir_list", ["not read"])
    real = "real_rirs_isotropic_noises"
    names = ("air_type1_air_binaural_booth_0_1.wav", "RVB2014_type1_rir_largeroom1_far_angla.wav")
    for number, name in enumerate(names):
        speak(root / real / name, 40 + number, 0, channels=(2, 8)[number])
    noise = "RVB2014_type1_noise_largeroom1_1.wav"
    speak(root / real / noise, 50, 0, channels=8)
    lines = [f"--rir-id {i:05} --room-id room{i} RIRS_NOISES/{real}/{name}" for i, name in enumerate(names, start=1)]
    write_text(root / real / "rir_list", lines)
    line = f"--noise-id 00001 --noise-type isotropic --room-linkage largeroom1 RIRS_NOISES/{real}/{noise}"
    write_text(root / real / "noise_list", [line])
    speak(root / "pointsource_noises" / "noise-free-sound-0000.wav", 60, 0)
    write_text(root / "pointsource_noises" / "noise_list", ["not read"])
    return root


def ami(root: Path) -> Path:
    """Two meetings with two microphones, and RTTM as the diarization setup has it, each and all of a split in one file; a third
    meeting was not downloaded.
    """
    splits: dict[str, list[str]] = {"dev": [], "test": []}
    for number, meeting in enumerate(("ES2011a", "ES2004a")):
        for microphone in ("Mix-Headset", "Array1-01"):
            path = root / "amicorpus" / meeting / "audio" / f"{meeting}.{microphone}.wav"
            speak(path, 70 + number, len(microphone), seconds=2.0)
    for split, meeting in (("dev", "ES2011a"), ("test", "ES2004a"), ("test", "ES2004b")):
        turns = ["0.100 0.800 <NA> <NA> FEE041", "0.700 1.000 <NA> <NA> MEE042"]
        lines = [f"SPEAKER {meeting} 1 {turn} <NA> <NA>" for turn in turns]
        write_text(root / "only_words/rttms" / split / f"{meeting}.rttm", lines)
        splits[split] += lines
    for split, lines in splits.items():
        write_text(root / "only_words/rttms" / f"{split}.rttm", lines)
    return root


def voxconverse(root: Path) -> Path:
    """A recording each of dev and test with their archives' folders, and the RTTM folders of the repository."""
    for number, (split, folder, name) in enumerate(
        (("dev", "audio", "abjxc"), ("test", "voxconverse_test_wav", "aepyx"))
    ):
        speak(root / folder / f"{name}.wav", 80 + number, 0, seconds=1.5)
        write_text(
            root / "voxconverse" / split / f"{name}.rttm", [f"SPEAKER {name} 1 0.40 1.00 <NA> <NA> spk00 <NA> <NA>"]
        )
    return root


LIBRIMIX = {
    "train-100": ("103-1240-0003_1235-135887-0017", "103-1241-0000_27-123349-0001", "1235-135883-0001_27-124992-0010"),
    "train-360": ("14-208-0001_16-122827-0000",),
    "dev": ("84-121123-0001_174-50561-0000",),
    "test": ("61-70968-0000_121-123852-0001", "61-70970-0000_237-126133-0001", "121-127105-0000_260-123286-0001"),
}


def librimix(root: Path, seconds: float = SECONDS) -> Path:
    """Libri2Mix at 16 kHz, mode min, all kinds of mixtures and their tables, whose paths are of another machine."""
    place = root / "wav16k" / "min"
    for subset, names in LIBRIMIX.items():
        tables: dict[str, list[str]] = {kind: [] for kind in ("mix_clean", "mix_both", "mix_single")}
        for name in names:
            first, second = (
                voice(int(talker), int(chapter) % 1000 + int(number), seconds)
                for talker, chapter, number in (utterance.split("-") for utterance in name.split("_"))
            )
            noise = (0.01 * np.random.default_rng(len(first)).standard_normal(len(first))).astype(np.float32)
            files = {"s1": first, "s2": second, "noise": noise, "mix_clean": first + second}
            files |= {"mix_both": first + second + noise, "mix_single": first + noise}
            for folder, samples in files.items():
                write_recording(place / subset / folder / f"{name}.wav", samples)
            for kind, rows in tables.items():
                used = {"mix_clean": ("s1", "s2"), "mix_both": ("s1", "s2", "noise"), "mix_single": ("s1", "noise")}[
                    kind
                ]
                paths = [f"/elsewhere/{subset}/{folder}/{name}.wav" for folder in (kind, *used)]
                rows.append(",".join([name, name, *paths, str(len(first))]))
        for kind, rows in tables.items():
            sources = (
                ["source_1_path"] + ["source_2_path"] * (kind != "mix_single") + ["noise_path"] * (kind != "mix_clean")
            )
            header = ",".join(["mixture_ID", "original_mixture_ID", "mixture_path", *sources, "length"])
            write_text(place / "metadata" / f"mixture_{subset}_{kind}.csv", [header, *rows])
        write_text(place / "metadata" / f"metrics_{subset}_mix_clean.csv", ["not read"])
    return root


WSJ0_2MIX = {
    "tr": ("01aa010b_0.97482_209a010p_-0.97482", "20ac010x_1e-05_01ao030v_-1e-05"),
    "cv": ("01aa010k_1.3_209a010p_-1.3",),
    "tt": ("050a0501_1.7_441c020n_-1.7", "441c020o_0_22ga010c_0"),
}


def wsj0_2mix(root: Path, seconds: float = SECONDS) -> Path:
    """WSJ0-2mix at 8 kHz, mode min; a level is as small as Python writes it, and beside the folders is a list of scales."""
    for part, names in WSJ0_2MIX.items():
        folder = root / "2speakers" / "wav8k" / "min" / part
        for number, name in enumerate(names):
            sources = [voice(speaker, number, 2 * seconds)[::2] for speaker in (len(part) + number, 50 + number)]
            for place, samples in (("mix", sum(sources)), ("s1", sources[0]), ("s2", sources[1])):
                write_recording(folder / place / f"{name}.wav", samples, 8000)
        write_text(folder / "scaling.mat", ["not read"])
    return root


def cut_set(folder: Path, seconds: float = SECONDS) -> Path:
    """A cut set of lhotse: five whole recordings of two speakers, one in stereo, and four turns of a conversation of two others.

    Two turns overlap, and a whole recording has no speaker. Paths are absolute.
    """
    from lhotse import CutSet, MonoCut, Recording, RecordingSet, SupervisionSegment, SupervisionSet  # takes a second

    cuts = []
    for number in range(6):
        channels = 2 if number == 4 else 1
        path = speak(
            folder / "corpus" / f"{number % 2}" / f"{number}.flac", 90 + number % 2, number, seconds, channels=channels
        )
        who = None if number == 5 else f"reader {number % 2}"
        recording = Recording.from_file(path, recording_id=f"r{number}")
        told = SupervisionSegment(f"s{number}", f"r{number}", 0, seconds, speaker=who, gender="Female")
        cuts.append(MonoCut(f"whole-{number}", 0, seconds, channels - 1, [told], recording=recording))
    talk = speak(folder / "corpus" / "talk.wav", 92, 0, 6 * seconds)
    turns = (("anna", 0.5, 1.25), ("ben", 1.75, 1), ("ben", 3.5, 1), ("anna", 4, 1))  # in `seconds`
    told = [
        SupervisionSegment(f"t{i}", "talk", start * seconds, length * seconds, speaker=who)
        for i, (who, start, length) in enumerate(turns)
    ]  # fmt: skip
    recordings = RecordingSet.from_recordings([Recording.from_file(talk)])
    conversation = CutSet.from_manifests(recordings, SupervisionSet.from_segments(told)).trim_to_supervisions()
    path = folder / "cuts.jsonl.gz"
    CutSet.from_cuts([*cuts, *conversation]).to_file(path)
    return path
