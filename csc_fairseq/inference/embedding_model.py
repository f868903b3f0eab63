"""What every model for inference has: it embeds, scores and perhaps separates recordings."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from csc_fairseq.errors import InputError
from csc_fairseq.inference.alignment import aligned, lead
from csc_fairseq.inference.batches import batches_of, pad
from csc_fairseq.inference.durations import HOP, LENGTH, LONG
from csc_fairseq.inference.matching import Match, best_match
from csc_fairseq.inference.recordings import Audio, Recordings, read_recordings
from csc_fairseq.inference.separated_voices import SeparatedVoices
from csc_fairseq.inference.talker_counts import require_heeded
from csc_fairseq.inference.windows import WindowGrid, Windows, joined, window_batches

if TYPE_CHECKING:
    from csc_fairseq.inference.long_recordings import Conversation


class EmbeddingModel(ABC):
    """Embeds, separates and scores recordings.

    Every method takes a path, a numpy array or a tensor, one recording (T,) or many ((B, T), or a list of any lengths), and
    answers in that kind: numpy for paths and arrays, tensors on their own device for tensors. Arrays are floating point with
    full scale 1; `sample_rate` (Hz) says their rate, None means the model's. Another rate is an InputError unless
    `resample=True`; so are stereo, empty, NaN and too short input (less than one window of the encoder).

    Recordings are batched by length, and the batch changes no result (to 1e-4). Up to 12 s, see `hears_at_once`, they have C
    streams, as the model was trained with, also where fewer people talk; all of them count in `score`. Longer ones are heard in
    windows and have one stream a talker, as many as are found, who talks most first, see talkers.py: `talkers` says how many
    there are, `most` how many at most; for shorter ones it is an InputError to ask for fewer or more than C. Stream c of
    `separate` is row c of `embed_sources`.

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
        self.calibration: str | None = None
        """What its scores mean, as a file of `csc calibrate` says it: bundles may carry it. None: nothing."""
        self.longest = round(LONG * sample_rate)
        """Most samples that the network hears at once; of longer recordings it hears windows."""
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

    def hears_at_once(self, samples: int, sample_rate: int | None = None) -> bool:
        """Whether a recording of so many samples has C streams and no windows. sample_rate: its rate in Hz; None: the model's."""
        return samples * self.sample_rate <= self.longest * (sample_rate or self.sample_rate)

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

        That of the stream with the most energy after separation (our choice); of all windows, if the model has one stream.

        Args:
            audio, sample_rate, resample: see the class.
            lengths: valid samples of each row, for a padded (B, T) array.

        Raises:
            InputError: see the class; also a digitally silent recording.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        recordings.require_sound()
        options = {"talkers": None if self.separates else 1, "separated": False}
        return recordings.answer(self._of_each(recordings, lambda voices: voices.queries[voices.loudest], **options))

    def embed_sources(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
        talkers: int | None = None,
        most: int | None = None,
    ) -> Any:
        """One embedding per stream: (C, E) or (B, C, E) float32 of unit norm, in the order of `separate`.

        A stream in which nobody speaks has an embedding too. Of several recordings, those with fewer talkers than another one
        have rows of zeros at the end. talkers, most: see the class. Other arguments and errors as for `embed`.
        """
        recordings = self._read(audio, sample_rate, resample, lengths)
        recordings.require_sound()
        return recordings.answer(
            self._of_each(recordings, lambda voices: voices.queries, talkers=talkers, most=most, separated=False)
        )

    def separate(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        lengths: Sequence[int] | None = None,
        resample: bool = False,
        talkers: int | None = None,
        most: int | None = None,
    ) -> Any:
        """Separated waveforms at the model's rate: (C, T); (B, C, T) for a (B, T) array, zero beyond each row's length and below
        its last talker; a list of (C_i, T_i) for a list.

        Each is the network's estimate times one factor for a recording, or for a window of a long one: at the level and sign with
        which the streams add up to the recording with the least squared error, see `levels_in_mixture`. In long ones a talker is
        silent who is in no stream of a window. talkers, most: see the class. Other arguments and errors as for `embed`, but
        silence is allowed, and a model that does not separate is an InputError.
        """
        self.require_separation()
        recordings = self._read(audio, sample_rate, resample, lengths)
        return recordings.answer_waveforms(
            self._of_each(recordings, lambda voices: voices.estimates, talkers=talkers, most=most)
        )

    def _of_each(
        self, recordings: Recordings, pick: Callable[[SeparatedVoices], Tensor], **options: Any
    ) -> list[Tensor]:
        """What `pick` takes of every recording's voices, in the order of the recordings. options: of `analyse`."""
        require_heeded(self, recordings, options.get("talkers"), options.get("most"))
        picked = [torch.empty(0)] * len(recordings.waveforms)
        for index, voices in self.analyse(recordings.waveforms, **options):
            picked[index] = pick(voices)
        return picked

    def windows(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        length: float = LENGTH,
        hop: float = HOP,
        resample: bool = False,
        waveforms: bool = False,
    ) -> Windows:
        """The streams of one recording in W windows of `length` seconds, one every `hop` seconds; memory is bounded.

            windows = model.windows("meeting.wav")      # 60 s: W = 117 windows of 2 s
            windows.starts / windows.sample_rate        # (W,) seconds: 0.0, 0.5, 1.0, ...
            windows.queries                             # (W, C, E) embeddings, windows.queries[w, c] @ other is a cosine
            windows.levels                              # (W, C, 100) RMS of every stream in frames of 20 ms

        Args:
            audio, sample_rate, resample: see the class; one recording of any length.
            length: seconds of a window, at most 12. hop: seconds between windows. Both are rounded to frames of 20 ms.
            waveforms: also the streams themselves, (W, C, samples), which takes C * length / hop times the recording's memory.

        Raises:
            InputError: see the class; several recordings, a length or hop out of range.
        """
        recording = self._read(audio, sample_rate, resample).only("audio", "call it for each")
        grid, batches = self._heard(recording, length, hop)
        return joined(batches, grid, waveforms)

    def conversation(
        self,
        audio: Audio,
        sample_rate: int | None = None,
        *,
        talkers: int | None = None,
        most: int | None = None,
        length: float = LENGTH,
        hop: float = HOP,
        resample: bool = False,
        waveforms: bool = False,
    ) -> "Conversation":
        """Who talks in one recording, and when; with `waveforms`, also what each says, in bounded memory.

            found = model.conversation("meeting.wav", waveforms=True)
            for talker, centre in enumerate(found.talkers.centres):
                samples = found.waveform(talker)        # (T,)

        Arguments and errors as of `windows` and `find_talkers`.
        """
        from csc_fairseq.inference.long_recordings import conversation  # imports scipy, which takes a second

        recording = self._read(audio, sample_rate, resample).only("audio", "call it for each")
        grid, batches = self._heard(recording, length, hop)
        return conversation(batches, grid, talkers=talkers, most=most, waveforms=waveforms)

    def score(self, enrol: Audio, test: Audio, sample_rate: int | None = None, *, resample: bool = False) -> float:
        """Cosine in [-1, 1] between the voice of `enrol` and the most similar talker of `test`; higher means more alike.

        One recording each. No threshold is assumed: choose one on trials of your own domain.
        """
        return self.best_match(enrol, test, sample_rate, resample=resample).cosine

    def best_match(self, enrol: Audio, test: Audio, sample_rate: int | None = None, *, resample: bool = False) -> Match:
        """`score`, and where it was found in a long `test`: see matching.py."""
        return best_match(self, enrol, test, sample_rate, resample)

    @torch.no_grad()
    def analyse(
        self,
        waveforms: Sequence[Tensor],
        *,
        talkers: int | None = None,
        most: int | None = None,
        separated: bool = True,
    ) -> Iterator[tuple[int, SeparatedVoices]]:
        """Embeddings and separated voices of checked waveforms [T_i] at the model's rate, as (position, voices), shortest
        first; a generator, so that the waveforms of many recordings need not be held at once.

        Of long recordings: talkers, most: see the class; separated: False spares the memory of the waveforms.
        """
        order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
        whole = [i for i in order if self.hears_at_once(len(waveforms[i]))]
        leads = [lead(one, self.period) if self.hears_at_once(len(one)) else 0 for one in waveforms]
        heard = [aligned(waveform, n) if n else waveform for waveform, n in zip(waveforms, leads, strict=True)]
        lengths = [len(waveform) for waveform in heard]
        whole.sort(key=lengths.__getitem__)
        for batch in batches_of(whole, lengths, self.batch_samples, equal=self.padding_matters):
            waveform, mask = pad([heard[i] for i in batch], self.device)
            estimates, queries = self._encode(waveform, None if self.padding_matters else mask)
            for row, i in enumerate(batch):
                own = None if estimates is None else estimates[row, :, leads[i] : lengths[i]]
                yield i, SeparatedVoices.of(own, queries[row], waveforms[i])
        for i in order[len(whole) :]:
            found = self.conversation(waveforms[i], talkers=talkers, most=most, waveforms=separated and self.separates)
            yield i, found.voices().to(self.device)

    def _heard(self, waveform: Tensor, length: float, hop: float) -> tuple[WindowGrid, Iterator[Windows]]:
        """The windows of one waveform [T], in batches that are heard when they are asked for. length, hop: seconds."""
        grid = WindowGrid.of(len(waveform), self.sample_rate, length, hop, least=self.shortest, most=self.longest)
        # Each is heard with up to one period in front.
        at_once = max(1, self.batch_samples // (grid.length + self.period))
        return grid, window_batches(self.analyse, waveform, grid, at_once)

    def _read(
        self, audio: Audio, sample_rate: int | None, resample: bool, lengths: Sequence[int] | None = None
    ) -> Recordings:
        return read_recordings(
            audio, sample_rate, model_rate=self.sample_rate, shortest=self.shortest, resample=resample, lengths=lengths
        )
