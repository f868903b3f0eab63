"""AMI (groups.inf.ed.ac.uk/ami/corpus; Carletta et al., 2005): amicorpus/meeting/audio/meeting.microphone.wav.

RTTM and its split into train, dev and test are those of github.com/BUTSpeechFIT/AMI-diarization-setup (Landini et al., 2022):
only_words/rttms/split/meeting.rttm.
"""

from pathlib import Path

from csc_fairseq.corpora.conversations import Source, pair

MICROPHONE = "Mix-Headset"


def read(root: Path, rttms: Path, microphone: str = MICROPHONE) -> tuple[list[Source], list[str]]:
    """Meetings of one microphone with their turns. Result and errors as of `conversations.pair`."""
    sources, notes = pair(root, rttms, f".{microphone}")
    return sources, [f"microphone: {microphone}", *notes]
