"""VoxConverse (robots.ox.ac.uk/~vgg/data/voxconverse; Chung et al., Interspeech 2020): name.wav, in a folder for each archive.

RTTM is that of github.com/joonson/voxconverse: dev/name.rttm and test/name.rttm.
"""

from pathlib import Path

from csc_fairseq.corpora.conversations import Source, pair


def read(root: Path, rttms: Path, out: Path) -> tuple[list[Source], list[str]]:
    """Recordings with their turns. Result and errors as of `conversations.pair`."""
    return pair(root, rttms, (out,))
