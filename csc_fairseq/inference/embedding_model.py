"""What every model for inference has: it embeds, scores and perhaps separates recordings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.inference.alignment import aligned, lead
from csc_fairseq.inference.long_recordings import ChunkOptions, SeparatedVoices, analyse_long
from csc_fairseq.inference.recordings import Audio, Recordings, read_recordings


class EmbeddingModel(ABC):
    """Embeds, separates and scores recordings.

    Every method takes a path, a numpy array or a tensor, one recording (T,) or many ((B, T), or a list of any
    lengths), and answers in that kind: numpy for paths and arrays, tensors on their own device for tensors. Arrays
    are floating point with full scale 1; `sample_rate` (Hz) says their rate, None means the model's. Another rate is
    an InputError unless `resample=True`; so are stereo, empty, NaN and too short input (less than one window of the
    encoder).

    Recordings are batched by length, and the batch changes no result (to 1e-4). Recordings over 12 s are processed in
    overlapping chunks, see long_recordings.py; stream c of `separate` is row c of `embed_sources`.

    Args:
        network: what `_encode` runs; put into evaluation mode.
        kind: name of the architecture, for complaints.
        sample_rate: Hz it was trained at.
        identity_level: what its training identities were: speaker, session, utterance or cluster; none without labels.
        streams: C, talkers told apart in a recording.
        embedding_size: E, numbers in one embedding.
        shortest: fewest samples of a recording, at the model's rate.
        separates: whether it gives waveforms of the streams.
        padding_matters: whether a padded waveform gives another result, so that only those of one length share a batch.
        period: samples after which the network sees a recording as it saw it before, one segment; 1 where it does not matter where
            a recording begins. See alignment.py.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        kind: str,
        sample_rate: int,
        identity_level: str,
        streams: int,
        embedding_size: int,
        shortest: int,
        separates: bool,
        padding_matters: bool,
        period: int,
    ) -> None:
        self.network = network.eval()
        self.kind = kind
        self.sample_rate = sample_rate
        self.identity_level = identity_level
        self.streams = streams
        self.embedding_size = embedding_size
        self.shortest = shortest
        self.separates = separates
        self.padding_matters = padding_matters
        self.period = period
        self.chunks = ChunkOptions.for_rate(sample_rate)
        self.batch_samples = 64 * sample_rate
        """Most samples in a batch, padding included (64 s of audio); bounds the memory used."""

    @abstractmethod
    def _encode(self, waveforms: Tensor, padding_mask: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """(B, T) waveforms to estimates (B, C, T), None if it does not separate, and embeddings (B, C, E) of unit norm.

        padding_mask: (B, T) bool, True = padding, at the end; None: none.
        """

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Moves the network; recordings follow it by themselves."""
        self.network.to(device)
        return self

    def require_separation(self) -> None:
        """InputError for a model that does not separate."""
        if not self.separates:
            raise InputError(
                f"this model ({self.kind}) does not separate talkers; take a checkpoint of csc, or one that was fine-tuned "
                "from csc"
            )

    def embed(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
    ) -> Any:
        """One embedding per recording of one voice: (E,) or (B, E) float32 of unit norm.

        That of the stream with the most energy after separation (our choice).

        Args:
            audio, sample_rate, resample: see the class.
            lengths: valid samples of each row, for a padded (B, T) array.

        Raises:
            InputError: see the class; also a digitally silent recording.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        recordings.require_sound()
        return recordings.answer(self._of_each(recordings, lambda voices: voices.queries[voices.loudest]))

    def embed_sources(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
    ) -> Any:
        """One embedding per stream: (C, E) or (B, C, E) float32 of unit norm, in the order of `separate`.

        A stream in which nobody speaks has an embedding too. Arguments and errors as for `embed`.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        recordings.require_sound()
        return recordings.answer(self._of_each(recordings, lambda voices: voices.queries))

    def separate(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
    ) -> Any:
        """Separated waveforms at the model's rate and the input's level: (C, T); (B, C, T) for a (B, T) array, zero
        beyond each row's length; a list of (C, T_i) for a list. Arguments and errors as for `embed`, but silence is
        allowed, and a model that does not separate is an InputError.
        """
        self.require_separation()
        recordings = self._read(audio, sample_rate, resample, lengths)
        return recordings.answer_waveforms(self._of_each(recordings, lambda voices: voices.estimates))

    def _of_each(self, recordings: Recordings, pick: Callable[[SeparatedVoices], Tensor]) -> list[Tensor]:
        """What `pick` takes of every recording's voices, in the order of the recordings."""
        picked = [torch.empty(0)] * len(recordings.waveforms)
        for index, voices in self.analyse(recordings.waveforms):
            picked[index] = pick(voices)
        return picked

    def score(self, enrol: Audio, test: Audio, sample_rate: int | None = None, *, resample: bool = False) -> float:
        """Cosine in [-1, 1] between the voice of `enrol` and the most similar talker of `test`; higher means more
        alike.

        One recording each. No threshold is assumed: choose one on trials of your own domain.
        """
        both = (enrol, test)
        files = [isinstance(audio, (str, Path)) for audio in both]
        # One side may be a file and the other an array, whose rate this is.
        rates = [sample_rate if all(files) or not file else None for file in files]
        sides = [self._read(audio, rate, resample) for audio, rate in zip(both, rates, strict=True)]
        for side, name in zip(sides, ("enrol", "test"), strict=True):
            side.require_sound()
            if not side.single:
                raise InputError(
                    f"{name} holds {len(side.waveforms)} recordings, expected one; use embed and embed_sources"
                )
        voice = self.embed(sides[0].waveforms[0])
        talkers = self.embed_sources(sides[1].waveforms[0])
        return float((talkers.to(voice) @ voice).max().clamp(-1, 1))

    @torch.no_grad()
    def analyse(self, waveforms: Sequence[Tensor]) -> Iterator[tuple[int, SeparatedVoices]]:
        """Embeddings and separated voices of checked waveforms [T_i] at the model's rate, as (position, voices), shortest
        first.

        A generator, so that the separated waveforms of many recordings need not be held at once.
        """
        leads = [lead(waveform, self.period) for waveform in waveforms]
        order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
        whole = [i for i in order if len(waveforms[i]) <= self.chunks.longest]
        waveforms = [aligned(waveform, samples) for waveform, samples in zip(waveforms, leads, strict=True)]
        lengths = [len(waveform) for waveform in waveforms]
        whole.sort(key=lengths.__getitem__)
        for batch in _batches(whole, lengths, self.batch_samples, equal=self.padding_matters):
            waveform, mask = pad([waveforms[i] for i in batch], self.device)
            estimates, queries = self._encode(waveform, None if self.padding_matters else mask)
            for row, i in enumerate(batch):
                own = None if estimates is None else estimates[row, :, leads[i] : lengths[i]]
                yield i, SeparatedVoices(own, queries[row])
        chunks_per_batch = max(1, self.batch_samples // self.chunks.chunk)
        for i in order[len(whole) :]:
            found = analyse_long(self._encode_chunks, waveforms[i].to(self.device), self.chunks, chunks_per_batch)
            yield i, SeparatedVoices(found.estimates[:, leads[i] :] if self.separates else None, found.queries)

    def _encode_chunks(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """For `analyse_long`. Without separation, the chunk itself is what its only stream holds."""
        estimates, queries = self._encode(waveforms, None)
        return waveforms.unsqueeze(1) if estimates is None else estimates, queries

    def _read(
        self, audio: Audio, sample_rate: int | None, resample: bool, lengths: Sequence[int] | None = None
    ) -> Recordings:
        return read_recordings(
            audio, sample_rate, model_rate=self.sample_rate, shortest=self.shortest, resample=resample, lengths=lengths
        )


def _batches(order: list[int], lengths: list[int], most: int, equal: bool) -> Iterator[list[int]]:
    """Cuts positions in order of rising length into batches of at most `most` samples when padded to the longest.

    equal: only recordings of one length share a batch.
    """
    batch: list[int] = []
    for i in order:
        if batch and ((len(batch) + 1) * lengths[i] > most or (equal and lengths[i] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def pad(waveforms: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Waveforms [T_i] to a batch (B, T) with zeros at the end, and its padding mask (B, T), True = padding."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms], device=device)
    batch = torch.nn.utils.rnn.pad_sequence([waveform.to(device) for waveform in waveforms], batch_first=True)
    return batch, torch.arange(batch.shape[1], device=device) >= lengths.unsqueeze(1)
