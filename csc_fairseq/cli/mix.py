"""`csc mix`: listen to what training hears."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.cli.model_options import add_resample_argument
from csc_fairseq.errors import InputError

if TYPE_CHECKING:
    from csc_fairseq.data.mixture_dataset import MixtureDataset

SUMMARY = "render the mixtures that training sees, with their sources, to WAV files"
EXAMPLE = "csc mix manifests/train.tsv --count 3 --epoch 2 --noise manifests/noise.tsv --out mixes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb. Defaults are those of the task csc_pretraining."""
    parser.add_argument("manifest", metavar="MANIFEST.tsv", help="recordings, with their label file")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, nargs="+", metavar="I", help="target recordings, counted from 0")
    which.add_argument(
        "--count", type=int, default=1, help="the first so many target recordings (default: %(default)s)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the WAV files and mixes.json")
    parser.add_argument("--seed", type=int, default=1, help="task.seed of the run (default: %(default)s)")
    parser.add_argument(
        "--epoch", type=int, help="epoch of the run, the first is 1 (default: 1); for the split train only"
    )
    parser.add_argument(
        "--split", help="split of the run; all but train have fixed mixes (default: the manifest's name)"
    )
    parser.add_argument(
        "--identity", default="speaker", help="speaker, session, utterance or cluster (default: %(default)s)"
    )
    parser.add_argument("--sample-rate", type=int, default=16000, help="Hz (default: %(default)s)")
    parser.add_argument("--view-seconds", type=float, default=2.0, help="length of a mixture (default: %(default)s)")
    parser.add_argument("--views", type=int, default=2, help="mixtures per target (default: %(default)s)")
    parser.add_argument("--sources", type=int, default=2, help="talkers per mixture (default: %(default)s)")
    _add_range(parser, "--sir", (-5.0, 5.0), "target over each other talker")
    parser.add_argument(
        "--single-talker-share", type=float, default=0.3, help="views without others (default: %(default)s)"
    )
    parser.add_argument("--single-talker-share-start", type=float, help="that share in the first epoch")
    parser.add_argument("--curriculum-epochs", type=int, default=0, help="epochs from that start to the final share")
    parser.add_argument("--noise", metavar="TSV", help="manifest of noises (default: white noise)")
    parser.add_argument(
        "--noise-probability", type=float, default=0.5, help="share of views with noise (default: %(default)s)"
    )
    _add_range(parser, "--snr", (0.0, 20.0), "target over noise")
    parser.add_argument("--rir", metavar="TSV", help="manifest of room impulse responses (default: none)")
    parser.add_argument(
        "--rir-probability",
        type=float,
        default=0.3,
        help="share of reverberant views, given --rir (default: %(default)s)",
    )
    add_resample_argument(parser)


def _add_range(parser: argparse.ArgumentParser, name: str, default: tuple[float, float], what: str) -> None:
    parser.add_argument(
        name,
        type=float,
        nargs=2,
        default=default,
        metavar=("LOW", "HIGH"),
        help=f"{what} in dB (default: {default[0]:g} {default[1]:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes every view as NAME.wav, its sources as NAME_source1.wav, ... (32-bit float), the plans as mixes.json."""
    import soundfile
    from tqdm import tqdm

    dataset = _dataset(arguments)
    targets = arguments.index if arguments.index is not None else range(min(arguments.count, len(dataset)))
    for target in targets:
        if not 0 <= target < len(dataset):
            raise InputError(
                f"{arguments.manifest}: has recordings 0 to {len(dataset) - 1}, --index asked for {target}"
            )
    if not targets:
        raise InputError(f"--count is {arguments.count}, expected 1 or more")
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    when = "fixed" if dataset.fixed else f"epoch{dataset.epoch}"
    mixes = []
    for target in tqdm(targets, desc="mix", unit="item", leave=False, disable=None):
        _, mixtures = dataset[target]
        for view, (plan, mixture) in enumerate(zip(dataset.plans(target), mixtures, strict=True), start=1):
            name = f"{dataset.split_key}_{when}_{target}_view{view}"
            signals = {name: mixture.samples}
            for slot in range(plan.slots):
                if mixture.present[slot]:
                    signals[f"{name}_source{slot + 1}"] = mixture.sources[slot]
            for file, samples in signals.items():
                soundfile.write(folder / f"{file}.wav", samples, arguments.sample_rate, subtype="FLOAT")
            mixes.append(
                {"file": f"{name}.wav", "talkers": _talkers(dataset, mixture.recordings), "plan": asdict(plan)}
            )
    run_facts = {
        "manifest": str(dataset.pool.manifest.path),
        "split": dataset.split_key,
        "seed": dataset.seed,
        "when": when,
    }
    text = json.dumps({**run_facts, "options": asdict(dataset.options), "mixes": mixes}, indent=2)
    (folder / "mixes.json").write_text(text + "\n", encoding="utf-8")
    print(f"{folder}: {len(mixes)} mixtures of {len(targets)} target recordings, plans in mixes.json")
    return 0


def _dataset(arguments: argparse.Namespace) -> "MixtureDataset":
    """The training's own dataset, so that keys, plans and rendering are the same."""
    from csc_fairseq.data.augment import NoiseBank, RirBank
    from csc_fairseq.data.manifest import identity_labels, read_manifest
    from csc_fairseq.data.mixing import MixingOptions
    from csc_fairseq.data.mixture_dataset import MixtureDataset
    from csc_fairseq.data.pool import RecordingPool

    manifest = read_manifest(arguments.manifest)
    split = arguments.split or manifest.path.stem
    fixed = split != "train"
    if fixed and arguments.epoch is not None:
        raise InputError(
            f"split {split!r} has fixed mixes, the same in all epochs; leave --epoch out or say --split train"
        )
    options = MixingOptions(
        sample_rate=arguments.sample_rate,
        view_frames=round(arguments.view_seconds * arguments.sample_rate),
        views=arguments.views,
        sources=arguments.sources,
        sir_db=tuple(arguments.sir),
        single_talker_share=arguments.single_talker_share,
        single_talker_share_start=arguments.single_talker_share_start,
        curriculum_epochs=arguments.curriculum_epochs,
        noise_probability=arguments.noise_probability,
        noise_snr_db=tuple(arguments.snr),
        rir_probability=arguments.rir_probability if arguments.rir else 0.0,
    )
    rate, resample = arguments.sample_rate, arguments.resample
    labels = identity_labels(manifest, arguments.identity)
    dataset = MixtureDataset(
        RecordingPool(manifest, labels, {label: row for row, label in enumerate(sorted(set(labels)))}, rate, resample),
        options,
        arguments.seed,
        split_key=split,
        noise=NoiseBank(read_manifest(arguments.noise), rate, resample) if arguments.noise else None,
        rirs=RirBank(read_manifest(arguments.rir), rate, resample) if arguments.rir else None,
        fixed=fixed,
    )
    dataset.set_epoch(arguments.epoch or 1)
    return dataset


def _talkers(dataset: "MixtureDataset", recordings: "list[int]") -> list[dict[str, str] | None]:
    """Identity and file in each slot, None for an empty one."""
    pool = dataset.pool
    return [
        {"identity": str(pool.group_labels[pool.groups[i]]), "recording": pool.manifest.names[i]} if i >= 0 else None
        for i in recordings
    ]
