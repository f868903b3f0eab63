"""`csc mix`: listen to what training hears, or make conversations to measure on."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from csc_fairseq.cli.mix_conversations import add_conversation_arguments, mix_conversations
from csc_fairseq.errors import InputError
from csc_fairseq.files import replacing
from csc_fairseq.package import CONFIGURATIONS, require_training

if TYPE_CHECKING:
    import numpy as np

    from csc_fairseq.data.view_dataset import ViewDataset

SUMMARY = "render the mixtures that training hears, or conversations to measure on, with their sources"
EXAMPLE = """csc mix --config-name csc_small task.data=manifests task.rir=manifests/rir.tsv --count 3 --epoch 2 --out mixes
csc mix --conversation --manifest test.tsv --noise noise.tsv --rir rir.tsv --talkers 2 --overlap 0.15 --minutes 5 \\
    --count 10 --out conversations"""
OF_TRAINING = {"overrides": "OPTION=VALUE", "index": "--index", "split": "--split", "epoch": "--epoch"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config-name", metavar="NAME", help="mixtures of this configuration's training: csc_small, …")
    what.add_argument("--conversation", action="store_true", help="conversations; their options are below")
    parser.add_argument(
        "overrides", nargs="*", metavar="OPTION=VALUE", help="as in the training command; task.data at least"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, nargs="+", metavar="I", help="items of the split, counted from 0")
    which.add_argument(
        "--count", type=int, default=1, help="the first so many items, or conversations (default: %(default)s)"
    )
    parser.add_argument("--split", help="all but train have fixed mixes (default: train)")
    parser.add_argument("--epoch", type=int, help="epoch of the training, the first is 1 (default: 1); for train only")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the WAV files and mixes.json, or conversations.json"
    )
    parser.set_defaults(of_conversations=add_conversation_arguments(parser))


def run(arguments: argparse.Namespace) -> int:
    """Mixtures or conversations. InputError for options of the other kind."""
    others = OF_TRAINING if arguments.conversation else arguments.of_conversations
    for name, option in others.items():
        if getattr(arguments, name) not in (None, []):
            kind = "--config-name" if arguments.conversation else "--conversation"
            raise InputError(f"{option} goes with {kind}; leave it out")
    return mix_conversations(arguments) if arguments.conversation else _mix_training(arguments)


def _mix_training(arguments: argparse.Namespace) -> int:
    """Writes every view as NAME.wav, its sources as NAME_source1.wav, … (32-bit float), the plans as mixes.json."""
    from tqdm import tqdm

    from csc_fairseq.data.audio import write_wav

    require_training("mixing")
    split = arguments.split or "train"
    dataset = _dataset(arguments.config_name, arguments.overrides, split, arguments.epoch)
    items = arguments.index if arguments.index is not None else range(min(arguments.count, len(dataset)))
    for item in items:
        if not 0 <= item < len(dataset):
            raise InputError(f"split {split} has items 0 to {len(dataset) - 1}, --index asked for {item}")
    if not items:
        raise InputError(f"--count is {arguments.count}, expected 1 or more")
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    when = "fixed" if dataset.fixed else f"epoch{dataset.epoch}"
    mixes = []
    for item in tqdm(items, desc="mix", unit="item", leave=False, disable=None):
        _, mixtures = dataset[item]
        for view, (plan, mixture) in enumerate(zip(dataset.plans(item), mixtures, strict=True), start=1):
            name = f"{dataset.split_key}_{when}_{item}_view{view}"
            signals = {name: mixture.samples}
            for slot in range(plan.slots):
                if mixture.present[slot]:
                    signals[f"{name}_source{slot + 1}"] = mixture.sources[slot]
            for file, samples in signals.items():
                with replacing(folder / f"{file}.wav") as temporary:
                    write_wav(temporary, samples, dataset.options.sample_rate)
            mixes.append(
                {"file": f"{name}.wav", "talkers": _talkers(dataset, mixture.recordings), "plan": asdict(plan)}
            )
    run_facts = {
        "manifest": str(dataset.manifest.path),
        "split": dataset.split_key,
        "seed": dataset.seed,
        "when": when,
    }
    text = json.dumps({**run_facts, "options": asdict(dataset.options), "mixes": mixes}, indent=2)
    with replacing(folder / "mixes.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(f"{folder}: {len(mixes)} mixtures of {len(items)} target recordings, plans in mixes.json")
    return 0


def _dataset(name: str, overrides: Sequence[str], split: str, epoch: int | None) -> "ViewDataset":
    """The dataset of the training that this configuration and these options would start."""
    from fairseq.dataclass.initialize import add_defaults, hydra_init
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from csc_fairseq.tasks.csc_pretraining import CscPretrainingTask

    if epoch is not None and epoch < 1:
        raise InputError(f"--epoch {epoch}: the first epoch is 1")
    if split != "train" and epoch is not None:
        raise InputError(f"split {split} has fixed mixes, the same in all epochs; leave --epoch out")
    hydra_init()
    try:
        # The version that fairseq counts on: a newer one would stay set for the process, and its own loading fails then.
        with initialize_config_dir(str(CONFIGURATIONS), version_base="1.1"):
            configuration = compose(name, overrides=list(overrides))
        if configuration.task._name != "csc_pretraining":
            raise InputError(f"--config-name {name}: its task is {configuration.task._name}, expected csc_pretraining")
        add_defaults(configuration)
        task = CscPretrainingTask(configuration.task)
        task.load_dataset(split)
    except InputError:  # one of Hydra's exceptions, too
        raise
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"--config-name {name}: {reason}; its options are in {CONFIGURATIONS}") from error
    dataset = task.datasets[split]
    dataset.set_epoch(1 if epoch is None else epoch)
    return dataset


def _talkers(dataset: "ViewDataset", recordings: "np.ndarray") -> list[dict[str, str] | None]:
    """Identity and file in each slot, None for an empty one."""
    found = [dataset.talker(number) if number >= 0 else None for number in recordings.tolist()]
    return [None if one is None else {"identity": one[0], "recording": one[1]} for one in found]
