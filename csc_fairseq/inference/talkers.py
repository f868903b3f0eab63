"""Who the streams of a recording's windows are: agglomerative clustering of their embeddings (all our choice).

1. A stream holds somebody where it is above the room, or the loudest one of a moment that is, and not far below another stream.
2. The embeddings of streams that hold somebody are clustered by average linkage. Two streams of one window are rather two people,
   so they are moved apart; not infinitely, since one may hold what is left over of the other. Clusters of little speech go.
3. Then every window gives its streams to different talkers, those whose centres they are most like.
4. What a talker says at a moment is in the window whose centre is nearest.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.ndimage import binary_closing, binary_opening
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform

from csc_fairseq.errors import InputError
from csc_fairseq.inference.windows import Windows

# The numbers below were chosen on 18 simulated conversations of development speakers, in rooms and noise.

# When a stream holds somebody.
SILENT = 10 ** (-90 / 20)  # RMS: below the step of 16 bits there is no voice
LOUD_PERCENTILE = 95.0  # of the levels of a window's frames; the loudest window counts, however seldom anybody speaks
ROOM_PERCENTILE = 10.0  # of the levels of all frames: what is heard while nobody speaks
LEAST_RANGE_DB = (
    6.0  # from the room to the loud frames: with less, there is no room to be heard, and all is one voice or one noise
)
ABOVE_ROOM = 0.3  # share of this range that a frame is above the room if somebody speaks in it
BELOW_LOUD_DB = 35.0  # a frame this far below the loud ones is silent, however quiet the room
BELOW_OTHER_DB = 12.0  # a stream this far below another one at the same time holds what is left over of it
LEAST_SECONDS = 0.3  # of sound in a window; a stream with less holds nobody

# Which streams are one talker.
CLUSTERED_SECONDS = 1.0  # of sound in a window; a stream with less is assigned afterwards
MOST_CLUSTERED = 4000  # streams: memory and time grow with the square; the windows of an even subset, if there are more
SAME_DISTANCE = 0.6  # cosine distance at which average linkage stops
# Two streams of one window are further apart by this times the number of streams. So are, on average, two clusters that are in
# the same windows as often as by chance; twice that, two halves of all streams that are always in the same windows.
APART = 0.15
SHORTEST_SECONDS = 3.0  # of speech, or a quarter of a shorter recording; whoever talks less is nobody
MOST_CUTS = 200  # clusterings that are tried to find a given number of talkers

# Which talker a stream is.
LEAST_COSINE = 0.2  # to the talker's centre, of a stream that is not the window's loudest; else it is nobody
NEAR_BEST = 0.15  # how far its talker may be below the most similar one that a louder stream has
NEVER = 10.0  # beyond all cosines
CONTINUITY = 0.05  # weight of the levels in common with the window before, in cosine: it breaks ties

# When a talker speaks.
PAUSE_SECONDS = 0.3  # shorter pauses are filled
BLIP_SECONDS = 0.1  # shorter sounds are left out


@dataclass(frozen=True)
class Talkers:
    """N talkers of a recording of W windows of C streams and F frames of 20 ms, F = ceil(T / frame); numpy arrays.

    centres: float32 (N, E), unit norm, in the order of talking time, who talks most first.
    of_stream: int64 (W, C), the talker of every window's stream, -1 = nobody; no talker twice in a window.
    levels: float32 (N, F), RMS of a talker in every frame; 0 where no stream is theirs.
    active: bool (N, F), when a talker speaks; short pauses are filled.

    N is 0 where nobody speaks.
    """

    centres: np.ndarray
    of_stream: np.ndarray
    levels: np.ndarray
    active: np.ndarray


def active_frames(windows: Windows) -> np.ndarray:
    """Frames in which a stream holds somebody, bool (W, C, A)."""
    levels, floor = windows.levels, _floor(windows)
    loudest = levels.max(axis=1, keepdims=True)
    heard = (levels > floor) | ((levels == loudest) & (windows.mixture_levels > floor)[:, None] & (levels > SILENT))
    return heard & (levels >= loudest * 10 ** (-BELOW_OTHER_DB / 20))


def _floor(windows: Windows) -> float:
    """RMS above which a frame holds a voice. What has one level throughout, an unbroken voice or a hum, counts as a voice."""
    decibels = 20 * np.log10(np.maximum(windows.mixture_levels, SILENT))
    loud = float(np.percentile(decibels, LOUD_PERCENTILE, axis=1).max())
    room = float(np.percentile(decibels, ROOM_PERCENTILE))
    above = room + ABOVE_ROOM * (loud - room) if loud - room >= LEAST_RANGE_DB else -np.inf
    return max(10 ** (max(above, loud - BELOW_LOUD_DB) / 20), SILENT)


def active_streams(windows: Windows) -> np.ndarray:
    """Streams that hold somebody, bool (W, C)."""
    return _active_seconds(windows, active_frames(windows)) >= _at_most_half(LEAST_SECONDS, windows)


def find_talkers(windows: Windows, *, talkers: int | None = None, most: int | None = None) -> Talkers:
    """Who talks in a recording, and when.

        windows = model.windows("meeting.wav")
        found = find_talkers(windows)
        found.active.sum(1) * windows.frame_seconds     # seconds that each talker speaks

    Args:
        windows: of one recording; estimates are not needed.
        talkers: how many there are; None: as many as are found. Fewer come back where there is too little speech.
        most: how many there are at most; only without `talkers`.

    Raises:
        InputError: both numbers, or one below 1.
    """
    require_counts(talkers, most)
    sounding = active_frames(windows)
    seconds = _active_seconds(windows, sounding)
    seconds[seconds < _at_most_half(LEAST_SECONDS, windows)] = 0.0
    centres = _clustered(windows, seconds, talkers, most)
    while True:
        of_stream = _assigned(windows, seconds, centres)
        centres = _means(windows, seconds, of_stream, centres)
        of_stream = _assigned(windows, seconds, centres)
        levels, active = _over_time(windows, sounding, of_stream, len(centres))
        spoken = active.sum(axis=1)
        asked = 0.0 if talkers is not None or len(centres) < 2 else _shortest(windows)
        if not len(centres) or spoken.min() * windows.frame_seconds >= max(asked, windows.frame_seconds):
            break
        centres = np.delete(centres, spoken.argmin(), axis=0)
    order = np.argsort(-spoken, kind="stable")
    place = np.append(np.argsort(order), -1)  # place[-1] is nobody's
    return Talkers(centres[order], place[of_stream], levels[order], active[order])


def somebody(windows: Windows) -> Talkers:
    """One talker, whose stream is the loudest one of every window, whether anybody speaks or not."""
    energies = np.square(windows.levels, dtype=np.float64).sum(axis=2)
    of_stream = np.where(np.arange(energies.shape[1]) == energies.argmax(axis=1)[:, None], 0, -1)
    weights = np.where(of_stream == 0, np.sqrt(energies) + SILENT, 0.0)
    centres = _means(windows, weights, of_stream, np.zeros((1, windows.queries.shape[2]), np.float32))
    return Talkers(centres, of_stream, *_over_time(windows, active_frames(windows), of_stream, 1))


def require_counts(talkers: int | None, most: int | None) -> None:
    """InputError for numbers of talkers that `find_talkers` does not take."""
    if talkers is not None and most is not None:
        raise InputError(f"talkers={talkers} and most={most}: give one of them")
    for name, count in (("talkers", talkers), ("most", most)):
        if count is not None and count < 1:
            raise InputError(f"{name}={count}: expected 1 at least")


def _active_seconds(windows: Windows, sounding: np.ndarray) -> np.ndarray:
    """(W, C)"""
    return sounding.sum(axis=2) * windows.frame_seconds


def _at_most_half(seconds: float, windows: Windows) -> float:
    """A time that is asked of a window, or half of one that is shorter than twice this time."""
    return min(seconds, windows.length / windows.sample_rate / 2)


def _shortest(windows: Windows) -> float:
    """Seconds of speech that make a talker."""
    return min(SHORTEST_SECONDS, windows.samples / windows.sample_rate / 4)


def _clustered(windows: Windows, seconds: np.ndarray, talkers: int | None, most: int | None) -> np.ndarray:
    """Centres (N, E), unit norm, of the clusters. seconds: (W, C), 0 for streams that hold nobody."""
    chosen = seconds >= max(_at_most_half(CLUSTERED_SECONDS, windows), 1e-9)
    if chosen.sum() < 2 * (talkers or 1):
        chosen = seconds > 0
    step = max(1, -(-int(chosen.sum()) // MOST_CLUSTERED))
    chosen[np.arange(len(chosen)) % step > 0] = False
    number, stream = np.nonzero(chosen)
    queries, weights = windows.queries[number, stream], seconds[number, stream]
    if len(queries) < 2:
        return queries
    # Windows share their speech: each adds its share of the recording's time.
    spoken = weights * step * windows.samples / (len(windows.starts) * windows.length)
    distances = queries @ queries.T
    np.subtract(1, np.clip(distances, -1, 1, out=distances), out=distances)  # in place, for memory
    distances[number[:, None] == number] += APART * len(queries)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    labels = fcluster(tree, SAME_DISTANCE, "distance")
    kept = _long_enough(labels, spoken, _shortest(windows))
    wanted = talkers if talkers is not None else min(len(kept), most or len(kept))
    if talkers is not None or len(kept) > wanted:
        labels, kept = _cut_into(tree, spoken, _shortest(windows), wanted)
    sums = np.stack([(queries * weights[:, None])[labels == label].sum(axis=0) for label in kept])
    return _unit(sums)


def _long_enough(labels: np.ndarray, spoken: np.ndarray, shortest: float) -> np.ndarray:
    """Labels of clusters with enough speech, most first; the largest one where none has."""
    times = np.bincount(labels, spoken)
    order = np.argsort(-times, kind="stable")
    return order[: max(1, int((times >= shortest).sum()))]


def _cut_into(tree: np.ndarray, spoken: np.ndarray, shortest: float, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the coarsest clustering in which so many clusters have enough speech, and theirs. Where there is none, labels of
    the coarsest clustering into so many.
    """
    items = len(spoken)
    for count in range(wanted, min(wanted + MOST_CUTS, items) + 1):
        labels = fcluster(tree, count, "maxclust")
        kept = _long_enough(labels, spoken, shortest)
        if len(kept) >= wanted:
            return labels, kept[:wanted]
    labels = fcluster(tree, min(wanted, items), "maxclust")
    return labels, np.unique(labels)


def _assigned(windows: Windows, seconds: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The talker of every stream, int64 (W, C), -1 = nobody: in each window the assignment with the largest sum of cosines.

    The loudest stream that holds anybody holds the talker that it is most like, however little. Another one may hold nobody:
    what it is less like than LEAST_COSINE, or much less like than a talker that the window's other streams hold already.
    """
    of_stream = np.full(seconds.shape, -1, dtype=np.int64)
    if not len(centres):
        return of_stream
    cosines = windows.queries @ centres.T  # (W, C, N)
    energies = np.where(seconds > 0, np.square(windows.levels, dtype=np.float64).sum(axis=2), -1.0)
    for number in np.flatnonzero((seconds > 0).any(axis=1)).tolist():
        streams = np.flatnonzero(seconds[number] > 0)
        values = cosines[number, streams] + CONTINUITY * _in_common(windows, number, streams, of_stream, len(centres))
        nobody = np.maximum(LEAST_COSINE, cosines[number, streams].max(axis=1) - NEAR_BEST)
        nobody[streams == energies[number].argmax()] = -NEVER
        choices = np.concatenate([values, np.tile(nobody[:, None], len(streams))], axis=1)
        rows, columns = linear_sum_assignment(choices, maximize=True)
        of_stream[number, streams[rows]] = np.where(columns < len(centres), columns, -1)
    return of_stream


def _in_common(windows: Windows, number: int, streams: np.ndarray, of_stream: np.ndarray, talkers: int) -> np.ndarray:
    """(S, N): how alike the levels of these streams are to a talker's of the window before, where both windows overlap, 0 to 1."""
    alike = np.zeros((len(streams), talkers))
    if number == 0:
        return alike
    shift = round((windows.starts[number] - windows.starts[number - 1]) / windows.frame)
    before, now = windows.levels[number - 1, :, shift:], windows.levels[number, streams, : -shift or None]
    if not before.shape[1]:
        return alike
    norms = np.linalg.norm(now, axis=1)[:, None] * np.linalg.norm(before, axis=1) + SILENT**2
    for stream in np.flatnonzero(of_stream[number - 1] >= 0):
        alike[:, of_stream[number - 1, stream]] = (now @ before[stream]) / norms[:, stream]
    return alike


def _means(windows: Windows, weights: np.ndarray, of_stream: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Centres (N, E) of the streams assigned to each talker, weighted by (W, C). otherwise: (N, E), for talkers without any."""
    centres = otherwise.copy()
    for talker in range(len(centres)):
        own = (of_stream == talker) & (weights > 0)
        if own.any():
            centres[talker] = _unit((windows.queries[own] * weights[own][:, None]).sum(axis=0))
    return centres


def _over_time(
    windows: Windows, sounding: np.ndarray, of_stream: np.ndarray, talkers: int
) -> tuple[np.ndarray, np.ndarray]:
    """`Talkers.levels` and `Talkers.active`."""
    window, frame = windows.nearest()
    levels = np.zeros((talkers, windows.frames), dtype=np.float32)
    active = np.zeros((talkers, windows.frames), dtype=bool)
    for talker in range(talkers):
        own = of_stream[window] == talker  # (F, C)
        at, stream = np.nonzero(own)  # a talker has one stream of a window at most
        levels[talker, at] = windows.levels[window[at], stream, frame[at]]
        active[talker, at] = sounding[window[at], stream, frame[at]]
        active[talker] = _smooth(active[talker], windows.frame_seconds)
    return levels, active


def _smooth(active: np.ndarray, frame_seconds: float) -> np.ndarray:
    """(F,) without short pauses, then without short sounds."""
    pause, blip = (max(1, round(seconds / frame_seconds)) for seconds in (PAUSE_SECONDS, BLIP_SECONDS))
    padded = np.pad(active, pause + blip)
    filled = binary_closing(padded, np.ones(pause, dtype=bool))
    return binary_opening(filled, np.ones(blip, dtype=bool))[pause + blip : -(pause + blip)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit norm, float32; zeros stay."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
