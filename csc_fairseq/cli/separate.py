"""`csc separate`: one file per talker."""

import argparse
from pathlib import Path

from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing_together

SUMMARY = "split recordings into one file per talker"
EXAMPLE = """\
csc separate mix.wav --model checkpoint_best.pt --out separated
# writes separated/mix_1.wav and separated/mix_2.wav"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="mono WAV, FLAC or Ogg recordings")
    add_model_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for NAME_1.wav, NAME_2.wav, ...")
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
    targets = [[folder / f"{stem}_{number + 1}.wav" for number in range(model.streams)] for stem in stems]
    inputs = {file.resolve() for file in files}
    for target in (target for group in targets for target in group):
        if target.resolve() in inputs:
            raise InputError(f"{target}: is one of the recordings and would be overwritten; choose another --out")
    for file, group in zip(tqdm(files, desc="separate", unit="file", leave=False, disable=None), targets, strict=True):
        streams = model.separate(file, resample=arguments.resample)
        with replacing_together(group) as temporaries:
            for target, stream in zip(group, streams, strict=True):
                write_wav(temporaries[target], stream, model.sample_rate)
        for target in group:
            tqdm.write(str(target))
    return 0
