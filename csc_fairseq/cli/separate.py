"""`csc separate`: one file per talker."""

import argparse
import glob
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, add_talker_arguments, load_model
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing_together

if TYPE_CHECKING:
    import numpy as np

    from csc_fairseq.inference.embedding_model import EmbeddingModel

SUMMARY = "split recordings into one file per talker"
EXAMPLE = """\
csc separate mix.wav --model checkpoint_best.pt --out separated
# writes separated/mix_1.wav and separated/mix_2.wav
csc separate meeting.wav --model checkpoint_best.pt --most 4 --out separated
# one file for each of at most four talkers, who talks most first"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="mono WAV, FLAC or Ogg recordings")
    add_model_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for NAME_1.wav, NAME_2.wav, ...")
    add_talker_arguments(parser)
    add_resample_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the streams at the model's rate as 32-bit float WAV, so that one beyond full scale is not clipped."""
    from tqdm import tqdm

    from csc_fairseq.data.audio import write_wav

    files = [Path(file) for file in arguments.files]
    stems = [file.stem for file in files]
    for stem in stems:
        if stems.count(stem) > 1:
            raise InputError(f"{stems.count(stem)} recordings are named {stem!r}; give each its own --out")
    model = load_model(arguments)
    model.require_separation()
    folder = Path(arguments.out)
    # How many talkers there are is known once a recording was heard; by their names, any number may be written.
    written = re.compile(f"({'|'.join(map(re.escape, stems))})_[1-9][0-9]*\\.wav")
    for file in files:
        if written.fullmatch(file.name) and file.parent.resolve() == folder.resolve():
            raise InputError(f"{file}: is one of the recordings and might be overwritten; choose another --out")
    for file in tqdm(files, desc="separate", unit="file", leave=False, disable=None):
        streams = _streams(arguments, model, file)
        group = [folder / f"{file.stem}_{number + 1}.wav" for number in range(len(streams))]
        with replacing_together(group) as temporaries:
            for target, stream in zip(group, streams, strict=True):
                write_wav(temporaries[target], stream(), model.sample_rate)
        for target in group:
            tqdm.write(str(target))
        for other in sorted(folder.glob(f"{glob.escape(file.stem)}_*.wav")):
            number = other.stem.removeprefix(f"{file.stem}_")
            if number.isdecimal() and int(number) > len(group):
                tqdm.write(f"{other}: of an earlier separation, left as it was", file=sys.stderr)
    return 0


def _streams(arguments: argparse.Namespace, model: "EmbeddingModel", file: Path) -> "list[Callable[[], np.ndarray]]":
    """The streams of a recording, made one by one where it is long, so that they need not be held together."""
    import numpy as np
    from tqdm import tqdm

    from csc_fairseq.inference.recordings import read_recordings
    from csc_fairseq.inference.talker_counts import unheeded

    read = read_recordings(
        file, None, model_rate=model.sample_rate, shortest=model.shortest, resample=arguments.resample
    )
    waveform = read.waveforms[0]
    if model.hears_at_once(len(waveform)):
        if why := unheeded(model, len(waveform), arguments.talkers, arguments.most):
            tqdm.write(f"{file}: {why}", file=sys.stderr)
        return [partial(np.asarray, stream) for stream in model.separate(waveform)]
    found = model.conversation(waveform, talkers=arguments.talkers, most=arguments.most, waveforms=True).with_somebody()
    return [partial(found.waveform, talker) for talker in range(len(found.talkers.centres))]
