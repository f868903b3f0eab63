"""`csc mix --conversation`: long recordings of which it is known who speaks when."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from csc_fairseq.errors import InputError

OPTIONS = (
    *("talkers", "overlap", "pause", "turn", "level_spread_db", "noise_probability", "noise_snr_db"),
    *("rir_probability", "enrolments", "absent", "uses", "sample_rate"),
)
"""Fields of `ConversationOptions` that have an option of their own."""


def add_conversation_arguments(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Options that only conversations have. None of them has a default here: None means that it was not given.

    Returns:
        The options by their names in the namespace.
    """
    from csc_fairseq.data.conversations import ConversationOptions

    group = parser.add_argument_group("conversations (--conversation)")
    defaults, names = ConversationOptions(), {}

    def add(name: str, help: str, **settings: Any) -> None:
        field = settings.get("dest", name).replace("-", "_")
        default = getattr(defaults, field, None)
        if isinstance(default, tuple):
            default = " ".join(f"{value:g}" for value in default)
        text = help if default is None else f"{help} (default: {default})"
        names[group.add_argument(f"--{name}", help=text, **settings).dest] = f"--{name}"

    pair = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
    add("manifest", "recordings of the talkers, with their .spk file", type=Path, metavar="TSV")
    add("noise", "recordings of noise (default: white noise)", type=Path, metavar="TSV")
    add("rir", "room responses; each folder, or name in its .domain file, is a room", type=Path, metavar="TSV")
    add("talkers", "how many speak", type=int, metavar="N")
    add("minutes", f"length of a conversation (default: {defaults.seconds / 60:g})", type=float, metavar="M")
    add("overlap", "share of the speech during which two speak at once, 0 to 0.4", type=float, metavar="SHARE")
    add("pause", "pauses between turns, s", **pair)
    add("turn", "lengths of turns, s", **pair)
    add("level-spread", "talkers differ by at most this, dB", dest="level_spread_db", type=float, metavar="DB")
    add("snr", "a talker of the usual level over the noise, dB", dest="noise_snr_db", **pair)
    add("noise-probability", "share of conversations with noise", type=float, metavar="P")
    add("rir-probability", "share of conversations in a room, with --rir", type=float, metavar="P")
    add("enrolments", "recordings that enrol a voice; they are not heard in the conversation", type=int, metavar="N")
    add("absent", "enrolled voices that are not in the conversation", type=int, metavar="N")
    add("uses", "how often a recording may be heard in a conversation", type=int, metavar="N")
    add("sample-rate", "Hz", type=int, metavar="HZ")
    add("resample", "convert recordings of another rate instead of refusing", action="store_true", default=None)
    add(
        "seed", "of all draws; conversation 3 of a seed is the same for any --count (default: 1)", type=int, metavar="N"
    )
    return names


def mix_conversations(arguments: argparse.Namespace) -> int:
    """Writes the conversations and their list; prints what they are like."""
    from tqdm import tqdm

    from csc_fairseq.data.augment import NoiseBank, RirBank
    from csc_fairseq.data.conversation_drawing import LEAST_ENROLMENT, draw_conversation
    from csc_fairseq.data.conversation_folder import LIST, write_conversation, write_list
    from csc_fairseq.data.conversation_rendering import render_conversation
    from csc_fairseq.data.conversations import ConversationOptions
    from csc_fairseq.data.manifest import read_labels, read_manifest
    from csc_fairseq.data.speech_pool import SpeechPool

    if arguments.manifest is None:
        raise InputError("--conversation: whose? name the talkers' recordings with --manifest TSV")
    if arguments.count < 1:
        raise InputError(f"--count is {arguments.count}, expected 1 or more")
    settings = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    if arguments.minutes is not None:
        settings["seconds"] = 60 * arguments.minutes
    options = ConversationOptions(**settings)
    seed = 1 if arguments.seed is None else arguments.seed
    reading = options.sample_rate, bool(arguments.resample)
    manifest = read_manifest(arguments.manifest)
    pool = SpeechPool(manifest, read_labels(manifest, "spk"), *reading)
    noise = None if arguments.noise is None else NoiseBank(read_manifest(arguments.noise), *reading)
    rirs = None if arguments.rir is None else RirBank(read_manifest(arguments.rir), *reading)
    # All are drawn before any is written, so that too little speech is found in time.
    numbers = tqdm(range(arguments.count), desc="draw", unit="conversation", leave=False, disable=None)
    plans = [draw_conversation(options, pool, seed, number, noise, rirs) for number in numbers]
    folder = Path(arguments.out)
    (folder / LIST).unlink(missing_ok=True)  # while files are replaced there is no list of them
    entries = []
    for plan in tqdm(plans, desc="mix", unit="conversation", leave=False, disable=None):
        entries.append(write_conversation(folder, plan, render_conversation(plan, pool, noise, rirs), pool))
    paths = {"manifest": arguments.manifest, "noise": arguments.noise, "rir": arguments.rir}
    facts = {name: None if path is None else str(Path(path).absolute()) for name, path in paths.items()}
    write_list(folder, {**facts, "seed": seed, "options": asdict(options)}, entries)
    if left_out := list(dict.fromkeys(speaker for plan in plans for speaker in plan.left_out)):
        print(
            f"{arguments.manifest}: {len(left_out)} speakers are left out for too little speech (fewer than {options.enrolments} "
            f"recordings with {LEAST_ENROLMENT:g} s of it, or nothing beside them), the first is {left_out[0]}"
        )
    shares = [100 * plan.overlap for plan in plans]
    uses = max(talker.uses for plan in plans for talker in plan.talkers)
    often = "no speech is heard twice" if uses == 1 else f"speech is heard up to {uses} times, in different turns"
    print(
        f"{folder}: {len(plans)} conversations of {options.talkers} talkers, {options.seconds / 60:g} minutes each; overlap "
        f"{min(shares):.1f} to {max(shares):.1f} %; {often}; plans in {LIST}"
    )
    return 0
