"""One espeak-ng voice in a separate process: a crash of the C library ends only this process.

`python -m csc_fairseq.demo.espeak < job.json` runs `synthesise` and writes its result as JSON to standard output.
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16000
# Constants of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2  # samples go to the callback before espeak_Synth returns
CHARS_UTF8 = 1
POS_CHARACTER = 1
PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Synthesiser:
    """The espeak-ng library of the PyPI package espeakng-loader. Only one instance per process."""

    def __init__(self) -> None:
        """Load and initialise the library. RuntimeError if this fails."""
        import espeakng_loader

        self.engine = ctypes.CDLL(espeakng_loader.get_library_path())
        self.data = Path(espeakng_loader.get_data_path())
        self.native_rate = self.engine.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, bytes(self.data), 0)
        if self.native_rate <= 0:
            raise RuntimeError(f"espeak_Initialize returned {self.native_rate}, expected a sample rate")
        self._pieces: list[np.ndarray] = []
        self._callback = SYNTH_CALLBACK(self._collect)  # kept here: the library holds no reference to it
        self.engine.espeak_SetSynthCallback(self._callback)
        text, number, pointer = ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p
        self.engine.espeak_Synth.argtypes = [
            text, ctypes.c_size_t, number, ctypes.c_int, number, number, pointer, pointer,
        ]  # fmt: skip

    def _collect(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())  # espeak-ng reuses its buffer
        return 0  # 0: go on

    def set_voice(self, name: str, **parameters: int) -> None:
        """Choose a voice such as `en-us+Annie`, then its rate (words/min), volume, pitch and range (0 to 100)."""
        variant = name.partition("+")[2]
        known = (self.data / "voices" / "!v" / variant).is_file()  # espeak-ng ignores unknown variants
        if not known or self.engine.espeak_SetVoiceByName(name.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {name!r}")
        for key, value in parameters.items():  # after the choice of the voice, which resets them
            if self.engine.espeak_SetParameter(PARAMETERS[key], value, 0) != 0:
                raise RuntimeError(f"espeak-ng refused {key}={value} for voice {name!r}")

    def speak(self, text: str) -> np.ndarray:
        """Samples of one sentence: float32 [T] at SAMPLE_RATE, without digital silence at the ends."""
        self._pieces.clear()
        data = text.encode()
        if self.engine.espeak_Synth(data, len(data) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None) != 0:
            raise RuntimeError(f"espeak-ng did not speak {text!r}")
        samples = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int16)
        audible = np.flatnonzero(samples)
        if not len(audible):
            raise RuntimeError(f"espeak-ng returned silence for {text!r}")
        samples = samples[audible[0] : audible[-1] + 1].astype(np.float32) / 32768
        return soxr.resample(samples, self.native_rate, SAMPLE_RATE)


def synthesise(job: dict) -> list[dict]:
    """Speak sentences of a voice into FLAC files. The result has {"file", "frames" (samples), "text"} for each file.

    job: folder; voice; parameters (see Synthesiser.set_voice); texts (candidates); utterances (how many to keep);
    seconds [shortest, longest]. Sentences outside these lengths are skipped. ValueError if too few remain.
    """
    synthesiser = Synthesiser()
    synthesiser.set_voice(job["voice"], **job["parameters"])
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    shortest, longest = job["seconds"]
    spoken: list[dict] = []
    for text in job["texts"]:
        if len(spoken) == job["utterances"]:
            break
        samples = synthesiser.speak(text)
        if shortest <= len(samples) / SAMPLE_RATE <= longest:
            file = folder / f"{len(spoken):02d}.flac"
            soundfile.write(file, samples.clip(-1, 1), SAMPLE_RATE)
            spoken.append({"file": file.name, "frames": len(samples), "text": text})
    if len(spoken) < job["utterances"]:
        raise ValueError(f"only {len(spoken)} of {len(job['texts'])} sentences last {shortest} to {longest} s")
    return spoken


if __name__ == "__main__":
    json.dump(synthesise(json.load(sys.stdin)), sys.stdout)
