"""AMI (groups.inf.ed.ac.uk/ami/corpus; Carletta et al., 2005): amicorpus/meeting/audio/meeting.microphone.wav.

RTTM and its split into train, dev and test are those of github.com/BUTSpeechFIT/AMI-diarization-setup (Landini et al., 2022):
only_words/rttms/split/meeting.rttm, and rttms/split.rttm, which holds them all. Beamformed recordings have an underscore in place
of the second dot.
"""

from dataclasses import replace
from pathlib import Path

from csc_fairseq.corpora.conversations import Source, pair, with_one_channel

MICROPHONE = "Mix-Headset"
LONGER = "TS3007c"  # its published turns end ten seconds after its recording


def read(root: Path, rttms: Path, out: Path, audio: Path, microphone: str, jobs: int) -> tuple[list[Source], list[str]]:
    """Meetings of one microphone with their turns. Result and errors as of `conversations.pair`.

    A few published recordings have two channels: the first ones are written to `audio` (`conversations.with_one_channel`).
    """
    sources, notes = pair(root, rttms, (out, audio), (f".{microphone}", f"_{microphone}"))
    if any(source.name == LONGER for source in sources):
        sources = [replace(source, cut=source.name == LONGER) for source in sources]
        notes.append(f"{LONGER}: turns after the end of the recording are cut")
    sources, told = with_one_channel(sources, root, audio, jobs)
    return sources, [f"microphone: {microphone}", *told, *notes]
