"""`csc embed`: recordings to embeddings, in one file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csc_fairseq.cli.faults import add_skip_argument, settle
from csc_fairseq.cli.model_options import add_model_arguments, add_resample_argument, load_model
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.inference.durations import HOP, LENGTH, LONG

if TYPE_CHECKING:
    from csc_fairseq.inference.embedding_model import EmbeddingModel

SUMMARY = "write the embeddings of recordings to one file"
EXAMPLE = """\
csc embed a.wav b.flac --model checkpoint_best.pt --out embeddings.npz
csc embed test.tsv --model checkpoint_best.pt --out embeddings.npz
csc embed meeting.wav --windows --model checkpoint_best.pt --out windows.npz
python -c "import numpy; f = numpy.load('embeddings.npz'); print(f['names'], f['embeddings'].shape)\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("inputs", nargs="+", metavar="FILE|MANIFEST.tsv", help="mono recordings, or manifests of them")
    add_model_arguments(parser)
    parser.add_argument(
        "--out", required=True, metavar="NPZ", help="file to write: names (N), embeddings (N, E), facts"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--sources",
        action="store_true",
        help="one embedding for each of talkers (N): (N, C, E), rows of zeros where another recording has more",
    )
    what.add_argument(
        "--windows",
        action="store_true",
        help="the streams of all windows: starts (W) in seconds, recordings (W), the number of each one's recording, queries "
        "(W, C, E), and levels (W, C, A), RMS in frames of `frame` seconds",
    )
    parser.add_argument(
        "--length", type=float, metavar="SECONDS", help=f"of a window, at most {LONG:g} (default: {LENGTH:g})"
    )
    parser.add_argument("--hop", type=float, metavar="SECONDS", help=f"between windows (default: {HOP:g})")
    add_resample_argument(parser)
    add_skip_argument(parser, "NAME.skipped.txt beside the file")


def run(arguments: argparse.Namespace) -> int:
    """Writes an .npz with `names` [N] (as given, or as in the manifest) and `embeddings`, in the order of the input."""
    import numpy as np

    if not arguments.windows and (arguments.length, arguments.hop) != (None, None):
        raise InputError("--length and --hop are of windows; add --windows")
    out = Path(arguments.out)
    if out.suffix != ".npz":
        raise InputError(f"{out}: expected a name that ends in .npz")
    names, files = _recordings(arguments.inputs)
    model = load_model(arguments)
    found, count, faults = (_windows if arguments.windows else _embeddings)(arguments, model, files)
    settle(list(faults.values()), len(files), out.with_suffix(".skipped.txt") if arguments.skip_bad else None)
    names = [name for i, name in enumerate(names) if i not in faults]
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, names=np.array(names), identity_level=np.array(model.identity_level), **found)
    print(f"{out}: {len(names)} recordings, {count}")
    return 0


def _embeddings(
    arguments: argparse.Namespace, model: "EmbeddingModel", files: list[Path]
) -> tuple[dict[str, Any], str, dict[int, str]]:
    """Arrays for the file, what they are, and faults by position."""
    import numpy as np

    from csc_fairseq.inference.many_recordings import embed_files

    embeddings, faults = embed_files(model, files, arguments.sources, arguments.resample, arguments.skip_bad)
    found = {"embeddings": embeddings}
    if arguments.sources:  # embeddings have unit norm, so rows of zeros are none
        found["talkers"] = embeddings.any(axis=-1).sum(axis=-1, dtype=np.int64) if len(embeddings) else np.empty(0, int)
    return found, f"embeddings {embeddings.shape}", faults


def _windows(
    arguments: argparse.Namespace, model: "EmbeddingModel", files: list[Path]
) -> tuple[dict[str, Any], str, dict[int, str]]:
    """The same with windows."""
    import numpy as np

    from csc_fairseq.inference.many_recordings import windows_of_files

    length = LENGTH if arguments.length is None else arguments.length
    hop = HOP if arguments.hop is None else arguments.hop
    windows, faults = windows_of_files(model, files, length, hop, arguments.resample, arguments.skip_bad)
    each = list(windows.values())
    if not each:
        return {}, "0 windows", faults
    frames = max(one.levels.shape[2] for one in each)  # recordings shorter than a window have fewer
    found = {
        "recordings": np.repeat(np.arange(len(each)), [len(one.starts) for one in each]),
        "starts": np.concatenate([one.starts / one.sample_rate for one in each]),
        "queries": np.concatenate([one.queries for one in each]),
        "levels": np.concatenate(
            [np.pad(one.levels, ((0, 0), (0, 0), (0, frames - one.levels.shape[2]))) for one in each]
        ),
        "frame": np.array(each[0].frame_seconds),
    }
    return found, f"{len(found['starts'])} windows, queries {found['queries'].shape}", faults


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
