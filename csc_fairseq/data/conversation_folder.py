"""A folder of conversations: recordings with who speaks when, and, if they are simulated, every talker alone and enrolments.

    DIR/conversations.json                    what is there, with plans and options; written last
    DIR/conversation_000.wav                  what is heard
    DIR/conversation_000.rttm                 who speaks when
    DIR/conversation_000_TALKER.wav           one talker as heard, room included, without noise
    DIR/conversation_000_enrol_VOICE_1.wav    an enrolment, of a talker or of somebody absent

Real conversations need no list: NAME.wav (.flac, .ogg, .opus) and NAME.rttm, whose file id is NAME. RTTM cannot hold blanks: they
are underscores in the file id, and may be in the name of the RTTM file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csc_fairseq.data.audio import probe, write_wav
from csc_fairseq.data.conversation_rendering import Conversation, enrolment
from csc_fairseq.data.conversations import ConversationPlan
from csc_fairseq.data.rttm import Turn, file_id_of, read_rttm, write_rttm
from csc_fairseq.data.speech_pool import SpeechPool
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing

LIST = "conversations.json"
FORMAT = "csc conversations 1"
SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
BEYOND = 1.0  # seconds that a turn may end after its recording: annotators round


@dataclass(frozen=True)
class EnrolledVoice:
    """talker: its name in RTTM. speaker: its label in the manifest. files: its enrolments. present: whether it speaks here."""

    talker: str
    speaker: str
    files: tuple[Path, ...]
    present: bool


@dataclass(frozen=True)
class RecordedConversation:
    """A conversation on the disk.

    name: its file id. audio: its recording. rttm: the file of its turns. seconds: its length. turns: who speaks when. sources: the
    recording of each talker alone, by name; empty for real conversations. voices: who is enrolled; empty for real conversations.
    """

    name: str
    audio: Path
    rttm: Path
    seconds: float
    turns: tuple[Turn, ...]
    sources: Mapping[str, Path]
    voices: tuple[EnrolledVoice, ...]

    @property
    def talkers(self) -> list[str]:
        """Names of those who speak, sorted."""
        return sorted({turn.talker for turn in self.turns})


def write_conversation(
    folder: Path, plan: ConversationPlan, conversation: Conversation, pool: SpeechPool
) -> dict[str, Any]:
    """Writes one conversation; its entry in the list. InputError if a file cannot be written, or an enrolment be read."""
    rate, turns = plan.sample_rate, plan.reference()
    sources = {talker.name: f"{plan.name}_{talker.name}.wav" for talker in plan.talkers}
    _write(folder / f"{plan.name}.wav", conversation.samples, rate)
    for file, samples in zip(sources.values(), conversation.sources, strict=True):
        _write(folder / file, samples, rate)
    write_rttm(folder / f"{plan.name}.rttm", plan.name, turns)
    voices = []
    for voice in (*plan.talkers, *plan.absent):
        files = [f"{plan.name}_enrol_{voice.name}_{i + 1}.wav" for i in range(len(voice.enrolments))]
        for file, recording in zip(files, voice.enrolments, strict=True):
            _write(folder / file, enrolment(recording, pool), rate)
        present = voice.name in sources
        voices.append({"talker": voice.name, "speaker": voice.speaker, "present": present, "files": files})
    seconds = {name: sum(turn.end - turn.start for turn in turns if turn.talker == name) for name in sources}
    return {
        "name": plan.name,
        "file": f"{plan.name}.wav",
        "rttm": f"{plan.name}.rttm",
        "overlap": plan.overlap,
        "talking_seconds": seconds,
        "sources": sources,
        "enrolments": voices,
        "plan": asdict(plan),
    }


def write_list(folder: Path, facts: Mapping[str, Any], entries: list[dict[str, Any]]) -> None:
    """Writes the list, the last of all files. facts: of all conversations. InputError if it cannot be written."""
    text = json.dumps({"format": FORMAT, **facts, "conversations": entries}, indent=1)
    with replacing(folder / LIST) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_conversations(folder: str | Path) -> list[RecordedConversation]:
    """The conversations of a folder, by name. Audio is not read but for its headers.

    InputError, naming the file: no conversations, a damaged list, a recording without RTTM or the other way round, RTTM of another
    file, without turns, or with turns after the recording's end.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected one that `csc mix --conversation` wrote, or WAV with RTTM")
    if (folder / LIST).is_file():
        found = _listed(folder)
    else:
        found = [_recorded(audio, rttm, {}, ()) for audio, rttm in _unlisted(folder)]
    if not found:
        raise InputError(f"{folder}: holds no conversations; expected NAME.wav with NAME.rttm, or {LIST}")
    return found


def _write(path: Path, samples: Any, sample_rate: int) -> None:
    with replacing(path) as temporary:
        write_wav(temporary, samples, sample_rate)


def _listed(folder: Path) -> list[RecordedConversation]:
    path = folder / LIST
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise InputError(f"{path}: has the format {content['format']!r}, expected {FORMAT!r}; mix it again")
        entries = [
            (
                folder / entry["file"],
                folder / entry["rttm"],
                {str(name): folder / file for name, file in entry["sources"].items()},
                tuple(
                    EnrolledVoice(
                        str(one["talker"]),
                        str(one["speaker"]),
                        tuple(folder / file for file in one["files"]),
                        bool(one["present"]),
                    )
                    for one in entry["enrolments"]
                ),
            )
            for entry in content["conversations"]
        ]
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error}); mix it again") from error
    return [_recorded(*entry) for entry in entries]


def _unlisted(folder: Path) -> list[tuple[Path, Path]]:
    """Recordings, each with its RTTM file, which may be missing."""
    recordings = _by_file_id(folder, "recordings", SUFFIXES)
    rttms = _by_file_id(folder, "RTTM files", (".rttm",))
    for file_id, path in rttms.items():
        if file_id not in recordings:
            raise InputError(f"{path}: has no recording beside it; expected {path.stem}.wav, .flac, .ogg or .opus")
    return [(path, rttms.get(file_id, path.with_suffix(".rttm"))) for file_id, path in recordings.items()]


def _by_file_id(folder: Path, what: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes):
        file_id = file_id_of(path)
        if file_id in found:
            raise InputError(f"{folder}: several {what} are named {file_id!r}; keep one of them")
        found[file_id] = path
    return found


def _recorded(
    audio: Path, rttm: Path, sources: Mapping[str, Path], voices: tuple[EnrolledVoice, ...]
) -> RecordedConversation:
    for file in (*sources.values(), *(file for voice in voices for file in voice.files)):
        if not file.is_file():
            raise InputError(f"{file}: no such file, but {LIST} names it; mix it again")
    if not rttm.is_file():
        raise InputError(f"{rttm}: no such file; expected the turns of {audio}")
    info = probe(audio)
    seconds = info.frames / info.sample_rate
    by_file = read_rttm(rttm)
    file_id = file_id_of(audio)
    turns = by_file.pop(file_id, [])
    if by_file:
        raise InputError(f"{rttm}: holds turns of {next(iter(by_file))!r}, expected those of {file_id!r} alone")
    if not turns:
        raise InputError(f"{rttm}: holds no turns, expected those of {file_id!r}; leave this recording out")
    last = max(turn.end for turn in turns)
    if last > seconds + BEYOND:
        raise InputError(f"{rttm}: has a turn until {last:.2f} s, but {audio} lasts {seconds:.2f} s; they do not fit")
    return RecordedConversation(file_id, audio, rttm, seconds, tuple(turns), sources, voices)
