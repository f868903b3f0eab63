"""Who the streams of a recording's windows are: agglomerative clustering of their embeddings (all our choice).

1. The embeddings of streams that clearly hold somebody (stream_activity.py) are clustered by average linkage. Two streams of one
   window are rather two people, so they are moved apart; not infinitely, since one may hold what is left over of the other.
   Clusters of little speech go.
2. Then every window gives its streams to different talkers, those whose centres they are most like.
3. Whether a talker speaks at a moment is what most windows say. What they say is in the window whose centre is nearest.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform

from csc_fairseq.errors import InputError
from csc_fairseq.inference.stream_activity import (
    CLEARLY,
    SILENT,
    active_frames,
    active_seconds,
    at_most_half,
    voted,
)
from csc_fairseq.inference.windows import Windows

# The numbers below were chosen on simulated conversations of development speakers, in rooms and noise.

# Which streams are one talker.
CLUSTERED_SECONDS = 1.0  # of sound in a window; a stream with less is assigned afterwards
MOST_CLUSTERED = 4000  # streams: memory and time grow with the square; the windows of an even subset, if there are more
SAME_DISTANCE = 0.63  # cosine distance at which average linkage stops
# Two streams of one window are further apart by this times the number of streams. So are, on average, two clusters that are in
# the same windows as often as by chance; twice that, two halves of all streams that are always in the same windows.
APART = 0.1
# Of speech in clustered streams, or a quarter of a shorter recording; whoever talks less is nobody. A turn of 5 s has as much.
SHORTEST_SECONDS = 4.0
MOST_CUTS = 200  # clusterings that are tried to find a given number of talkers

# Which talker a stream is.
LEAST_COSINE = 0.2  # to the talker's centre, of a stream that is not the window's loudest; else it is nobody
NEAR_BEST = 0.15  # how far its talker may be below the most similar one that a louder stream has
NEVER = 10.0  # beyond all cosines
CONTINUITY = 0.05  # weight of the levels in common with the window before, in cosine: it breaks ties


@dataclass(frozen=True)
class Talkers:
    """N talkers of a recording of W windows of C streams and F frames of 20 ms, F = ceil(T / frame); numpy arrays.

    centres: float32 (N, E), unit norm, in the order of talking time, who talks most first.
    of_stream: int64 (W, C), the talker of every window's stream, -1 = nobody; no talker twice in a window.
    levels: float32 (N, F), RMS of a talker in every frame, in the window whose centre is nearest; 0 where no stream is theirs.
    active: bool (N, F), when a talker speaks; short pauses are filled.

    N is 0 where nobody speaks.
    """

    centres: np.ndarray
    of_stream: np.ndarray
    levels: np.ndarray
    active: np.ndarray


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
    seconds = active_seconds(windows, sounding)
    clear = active_seconds(windows, active_frames(windows, CLEARLY))
    weights = clear if clear.any() else seconds
    centres = _clustered(windows, weights, seconds, talkers, most)
    while True:
        centres = _means(windows, weights, _assigned(windows, seconds, centres), centres)
        of_stream = _assigned(windows, seconds, centres)
        active = voted(windows, sounding, of_stream, len(centres))
        spoken = active.sum(axis=1)
        asked = 0.0 if talkers is not None or len(centres) < 2 else _shortest(windows)
        if not len(centres) or spoken.min() * windows.frame_seconds >= max(asked, windows.frame_seconds):
            break
        centres = np.delete(centres, spoken.argmin(), axis=0)
    order = np.argsort(-spoken, kind="stable")
    place = np.append(np.argsort(order), -1)  # place[-1] is nobody's
    levels = _levels(windows, of_stream, len(centres))
    return Talkers(centres[order], place[of_stream], levels[order], active[order])


def somebody(windows: Windows) -> Talkers:
    """One talker, whose stream is the loudest one of every window, whether anybody speaks or not."""
    energies = np.square(windows.levels, dtype=np.float64).sum(axis=2)
    of_stream = np.where(np.arange(energies.shape[1]) == energies.argmax(axis=1)[:, None], 0, -1)
    weights = np.where(of_stream == 0, np.sqrt(energies) + SILENT, 0.0)
    centres = _means(windows, weights, of_stream, np.zeros((1, windows.queries.shape[2]), np.float32))
    active = voted(windows, active_frames(windows), of_stream, 1)
    return Talkers(centres, of_stream, _levels(windows, of_stream, 1), active)


def require_counts(talkers: int | None, most: int | None) -> None:
    """InputError for numbers of talkers that `find_talkers` does not take."""
    if talkers is not None and most is not None:
        raise InputError(f"talkers={talkers} and most={most}: give one of them")
    for name, count in (("talkers", talkers), ("most", most)):
        if count is not None and count < 1:
            raise InputError(f"{name}={count}: expected 1 at least")


def _shortest(windows: Windows) -> float:
    """Seconds of speech that make a talker."""
    return min(SHORTEST_SECONDS, windows.samples / windows.sample_rate / 4)


def _clustered(
    windows: Windows, clear: np.ndarray, seconds: np.ndarray, talkers: int | None, most: int | None
) -> np.ndarray:
    """Centres (N, E), unit norm, of the clusters. clear, seconds: (W, C), how long a stream holds somebody clearly, and at all; 0
    for nobody.
    """
    chosen = clear >= max(at_most_half(CLUSTERED_SECONDS, windows), 1e-9)
    if chosen.sum() < 2 * (talkers or 1):
        chosen = clear > 0
    step = max(1, -(-int(chosen.sum()) // MOST_CLUSTERED))
    chosen[np.arange(len(chosen)) % step > 0] = False
    number, stream = np.nonzero(chosen)
    queries, weights = windows.queries[number, stream], clear[number, stream]
    if len(queries) < 2:
        return queries
    # Windows share their speech: each adds its share of the recording's time.
    spoken = seconds[number, stream] * step * windows.samples / (len(windows.starts) * windows.length)
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


def _levels(windows: Windows, of_stream: np.ndarray, talkers: int) -> np.ndarray:
    """`Talkers.levels`."""
    window, frame = windows.nearest()
    levels = np.zeros((talkers, windows.frames), dtype=np.float32)
    for talker in range(talkers):
        at, stream = np.nonzero(of_stream[window] == talker)  # a talker has one stream of a window at most
        levels[talker, at] = windows.levels[window[at], stream, frame[at]]
    return levels


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit norm, float32; zeros stay."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
