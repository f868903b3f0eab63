"""`csc embed`: recordings to embeddings, in one file."""

import argparse
from pathlib import Path

from csc_fairseq.cli.faults import add_skip_argument, settle
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing

SUMMARY = "write the embeddings of recordings to one file"
EXAMPLE = """\
csc embed a.wav b.flac --model checkpoint_best.pt --out embeddings.npz
csc embed test.tsv --model checkpoint_best.pt --out embeddings.npz
python -c "import numpy; f = numpy.load('embeddings.npz'); print(f['names'], f['embeddings'].shape)\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("inputs", nargs="+", metavar="FILE|MANIFEST.tsv", help="mono recordings, or manifests of them")
    add_model_arguments(parser)
    parser.add_argument(
        "--out", required=True, metavar="NPZ", help="file to write: names (N), embeddings (N, E), facts"
    )
    parser.add_argument("--sources", action="store_true", help="one embedding per talker heard: (N, C, E)")
    add_resample_argument(parser)
    add_skip_argument(parser, "NAME.skipped.txt beside the file")


def run(arguments: argparse.Namespace) -> int:
    """Writes an .npz with `names` [N] (as given, or as in the manifest) and `embeddings`, in the order of the input."""
    import numpy as np

    from csc_fairseq.inference.many_recordings import embed_files

    out = Path(arguments.out)
    if out.suffix != ".npz":
        raise InputError(f"{out}: expected a name that ends in .npz")
    names, files = _recordings(arguments.inputs)
    model = load_model(arguments)
    embeddings, faults = embed_files(model, files, arguments.sources, arguments.resample, arguments.skip_bad)
    settle(list(faults.values()), len(files), out.with_suffix(".skipped.txt") if arguments.skip_bad else None)
    names = [name for i, name in enumerate(names) if i not in faults]
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, names=np.array(names), embeddings=embeddings, identity_level=np.array(model.identity_level))
    print(f"{out}: {len(names)} recordings, embeddings {embeddings.shape}")
    return 0


def _recordings(inputs: list[str]) -> tuple[list[str], list[Path]]:
    """Names and paths; manifests are taken apart."""
    from csc_fairseq.data.manifest import read_manifest

    names: list[str] = []
    files: list[Path] = []
    for given in inputs:
        if given.endswith(".tsv"):
            manifest = read_manifest(given)
            names += manifest.names
            files += [manifest.file(i) for i in range(len(manifest))]
        else:
            names.append(given)
            files.append(Path(given))
    return names, files
