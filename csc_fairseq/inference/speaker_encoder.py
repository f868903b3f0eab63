"""A trained separative encoder, ready for use on recordings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csc_fairseq.errors import InputError
from csc_fairseq.inference.recordings import Audio, Recordings, read_recordings
from csc_fairseq.inference.separator import Analysis, ChunkOptions, analyse_long
from csc_fairseq.modules.separative_encoder import SeparativeEncoder


class SpeakerEncoder:
    """Embeds, separates and scores recordings.

    Every method takes a path, a numpy array or a tensor, one recording (T,) or many ((B, T), or a list of any
    lengths), and answers in that kind: numpy for paths and arrays, tensors on their own device for tensors. Arrays
    are floating point with full scale 1; `sample_rate` (Hz) says their rate, None means the model's. Another rate is
    an InputError unless `resample=True`; so are stereo, empty, NaN and too short input (less than one window of the
    encoder).

    **Embeddings are the queries q, not the attended vectors s** that the condition memory adds in training: q depends
    on the recording alone, while s depends on which embeddings the memory happens to hold; and where memory keys are
    chosen by the label, as they cannot be at test time, s may have learnt to rely on them.

    Recordings are batched by length, and padding changes no result (to 1e-4). Recordings over 12 s are processed in
    overlapping chunks, see inference/separator.py; stream c of `separate` is row c of `embed_sources`.

    Args:
        network: the separative encoder; put into evaluation mode.
        sample_rate: Hz it was trained at.
        identity_level: what its training identities were: speaker, session, utterance or cluster.
    """

    def __init__(self, network: SeparativeEncoder, sample_rate: int, identity_level: str) -> None:
        self.network = network.eval()
        self.sample_rate = sample_rate
        self.identity_level = identity_level
        self.chunks = ChunkOptions.for_rate(sample_rate)
        self.batch_samples = 64 * sample_rate
        """Most samples in a batch, padding included (64 s of audio); bounds the memory used."""

    @property
    def embedding_size(self) -> int:
        """E, numbers in one embedding."""
        return self.network.config.embedding_channels

    @property
    def streams(self) -> int:
        """C, talkers separated per recording."""
        return self.network.config.sources

    @property
    def shortest(self) -> int:
        """Fewest samples of a recording, at the model's rate: one window of the encoder."""
        return self.network.window

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device) -> "SpeakerEncoder":
        """Moves the network; recordings follow it by themselves."""
        self.network.to(device)
        return self

    def embed(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
    ) -> Any:
        """One embedding per recording of one voice: (E,) or (B, E) float32 of unit norm.

        The query of the stream with the most energy after separation (our choice).

        Args:
            audio, sample_rate, resample: see the class.
            lengths: valid samples of each row, for a padded (B, T) array.

        Raises:
            InputError: see the class; also a digitally silent recording.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        recordings.require_sound()
        rows: list[Tensor] = [torch.empty(0)] * len(recordings.waveforms)
        for index, analysis in self.analyse(recordings.waveforms):
            loudest = analysis.estimates.square().sum(-1).argmax()
            rows[index] = analysis.queries[loudest]
        return recordings.answer(rows)

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
        rows: list[Tensor] = [torch.empty(0)] * len(recordings.waveforms)
        for index, analysis in self.analyse(recordings.waveforms):
            rows[index] = analysis.queries
        return recordings.answer(rows)

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
        allowed.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        streams: list[Tensor] = [torch.empty(0)] * len(recordings.waveforms)
        for index, analysis in self.analyse(recordings.waveforms):
            streams[index] = analysis.estimates
        return recordings.answer_waveforms(streams)

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
    def features(
        self,
        audio: Audio,
        padding_mask: Tensor | None = None,
        sample_rate: int | None = None,
        *,
        resample: bool = False,
    ) -> Any:
        """Frames of the shared trunk: (B, L, D) float32 and their padding mask (B, L), True = padding.

        L = ceil(T / hop) + 1. The whole batch runs at once, however long: cut long recordings first.

        Args:
            audio, sample_rate, resample: see the class; a single recording gives B = 1.
            padding_mask: (B, T) bool, True = padding, at the end of the rows only; None: none. For a (B, T) array only.
        """
        lengths = None if padding_mask is None else _lengths(padding_mask)
        recordings = self._read(audio, sample_rate, resample, lengths)
        waveforms, mask = _pad(recordings.waveforms, self.device)
        output = self.network(waveforms, mask)
        kind = Recordings([], [], single=True, stacked=False, device=recordings.device)
        return kind.answer([output.features]), kind.answer([output.feature_padding])

    @torch.no_grad()
    def analyse(self, waveforms: Sequence[Tensor]) -> Iterator[tuple[int, Analysis]]:
        """Estimates and queries of checked waveforms [T_i] at the model's rate, as (position, Analysis), shortest
        first.

        A generator, so that the separated waveforms of many recordings need not be held at once.
        """
        order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
        whole = [i for i in order if len(waveforms[i]) <= self.chunks.longest]
        for batch in _batches(whole, [len(waveform) for waveform in waveforms], self.batch_samples):
            output = self.network(*_pad([waveforms[i] for i in batch], self.device))
            for i, estimates, queries in zip(batch, output.estimates, output.queries, strict=True):
                yield i, Analysis(estimates[:, : len(waveforms[i])], queries)
        chunks_per_batch = max(1, self.batch_samples // self.chunks.chunk)
        for i in order[len(whole) :]:
            yield i, analyse_long(self._run, waveforms[i].to(self.device), self.chunks, chunks_per_batch)

    def _run(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(waveforms)
        return output.estimates, output.queries

    def _read(
        self, audio: Audio, sample_rate: int | None, resample: bool, lengths: Sequence[int] | None = None
    ) -> Recordings:
        return read_recordings(
            audio, sample_rate, model_rate=self.sample_rate, shortest=self.shortest, resample=resample, lengths=lengths
        )


def _batches(order: list[int], lengths: list[int], most: int) -> Iterator[list[int]]:
    """Cuts positions in order of rising length into batches of at most `most` samples when padded to the longest."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _pad(waveforms: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Waveforms [T_i] to a batch (B, T) with zeros at the end, and its padding mask (B, T), True = padding."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms], device=device)
    batch = torch.nn.utils.rnn.pad_sequence([waveform.to(device) for waveform in waveforms], batch_first=True)
    return batch, torch.arange(batch.shape[1], device=device) >= lengths.unsqueeze(1)


def _lengths(padding_mask: Tensor) -> list[int]:
    """Valid samples of each row; InputError unless all padding is at the end."""
    mask = torch.as_tensor(padding_mask).bool()
    lengths = (~mask).sum(-1)
    if mask.ndim != 2 or not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device) >= lengths.unsqueeze(1)):
        raise InputError(
            "padding_mask has padding before valid samples; expected (batch, samples), True at the end only"
        )
    return lengths.tolist()
