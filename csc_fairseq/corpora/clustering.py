"""Pseudo-speakers: recordings grouped by their embeddings, without labels (our choice).

First k-means makes many small clusters, far more than there are speakers. Then their centroids are merged by average linkage, which
costs nothing more for any number of clusters. The number that is kept is the one at which two clusterings, each of a random
half of the recordings, tell most about each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array

from csc_fairseq.data.rng import generator

MOST_CENTROIDS = 8000  # merging takes memory and time in proportion to their square
RECORDINGS_PER_CENTROID = 2
ROWS_AT_ONCE = 65536
MINI_BATCHES_FROM, FAISS_FROM = 40_000, 200_000  # recordings; faiss only where it is installed
STEPS_PER_OCTAVE = 4  # of the numbers of clusters that are tried
MOST_COMPARED = 20_000  # recordings: expected information takes time in proportion to all pairs of clusters and sizes


@dataclass(frozen=True)
class Clustering:
    """labels: int64 [n], cluster of each recording, 0 is the largest. tried: (number of clusters, stability in nats) pairs."""

    labels: np.ndarray
    tried: tuple[tuple[int, float], ...]

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.labels.max()) + 1


def cluster(embeddings: np.ndarray, count: int | None, seed: int) -> Clustering:
    """Groups n recordings.

    Args:
        embeddings: float32 [n, E], unit norm, n ≥ 8. count: number of clusters; None: found by stability.
        seed: of k-means and of the halves.
    """
    tried: tuple[tuple[int, float], ...] = ()
    if count is None:
        tried = stabilities(embeddings, seed)
        count = max(tried, key=lambda one: one[1])[0]
    labels = Dendrogram(embeddings, seed).labels(embeddings, count)
    order = np.argsort(-np.bincount(labels), kind="stable")
    return Clustering(np.argsort(order)[labels], tried)


def balanced(vectors: np.ndarray) -> np.ndarray:
    """Principal components of [n, E] vectors, each divided by the root of its deviation, then unit norm: float32 [n, min(n, E)].

    For vectors that nobody trained for cosines. As they are, a few large directions decide every cosine; with components of equal
    variance, as many small ones that hold noise do. This lies half-way (our choice; figures: examples/csc/results/label_free.md).
    """
    components, deviations, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    return _unit(components * np.sqrt(deviations)).astype(np.float32)


def stabilities(embeddings: np.ndarray, seed: int) -> tuple[tuple[int, float], ...]:
    """For numbers of clusters up to a quarter of the recordings: what clusterings of two halves tell about each other, in nats.

    It is the mutual information of both labels of all recordings (of MOST_COMPARED, if there are more), less what two random
    clusterings of the same sizes have: few clusters have little to tell, and too many are not found again.
    """
    order = generator(seed, "halves").permutation(len(embeddings))
    half = order[: len(embeddings) // 2]
    chosen = np.zeros(len(embeddings), dtype=bool)
    chosen[half] = True
    trees = [Dendrogram(embeddings[part], seed) for part in (chosen, ~chosen)]
    compared = embeddings[generator(seed, "compared").permutation(order)[:MOST_COMPARED]]
    nearest = [tree.nearest(compared) for tree in trees]
    most = min(len(embeddings) // 4, *(tree.size for tree in trees))
    octaves = np.log2(most / 2) if most > 2 else 0.0
    counts = np.unique(
        np.round(2 * 2 ** np.linspace(0, octaves, max(int(octaves * STEPS_PER_OCTAVE), 0) + 1)).astype(int)
    )
    found = []
    for count in counts.tolist():
        first, second = (tree.cut(count)[near] for tree, near in zip(trees, nearest, strict=True))
        found.append((count, shared_information(first, second)))
    return tuple(found)


def shared_information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information of two labellings in nats, less its expectation for random labellings of the same sizes."""
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    table = contingency_matrix(first, second, sparse=True).astype(np.int64)
    return float(mutual_info_score(first, second) - expected_mutual_information(table, len(first)))


class Dendrogram:
    """Centroids of k-means on embeddings [n, E] of unit norm, and the tree in which average linkage merges them."""

    def __init__(self, embeddings: np.ndarray, seed: int) -> None:
        count = max(2, min(MOST_CENTROIDS, len(embeddings) // RECORDINGS_PER_CENTROID))
        self._centroids = _unit(kmeans(embeddings, count, seed))
        self._tree = linkage(self._centroids.astype(np.float64), method="average", metric="cosine")

    @property
    def size(self) -> int:
        """Number of centroids, the most clusters that there can be."""
        return len(self._centroids)

    def nearest(self, embeddings: np.ndarray) -> np.ndarray:
        """Centroid of each of [n, E] embeddings, int64 [n]."""
        parts = np.array_split(embeddings, max(1, len(embeddings) // ROWS_AT_ONCE))
        return np.concatenate([(part @ self._centroids.T).argmax(1) for part in parts])

    def cut(self, count: int) -> np.ndarray:
        """Cluster of each centroid, from 0, int64 [size]. At equal heights there may be fewer clusters than `count`."""
        return fcluster(self._tree, count, criterion="maxclust").astype(np.int64) - 1

    def labels(self, embeddings: np.ndarray, count: int) -> np.ndarray:
        """Cluster of each embedding, int64 [n], from 0 without gaps."""
        return np.unique(self.cut(count)[self.nearest(embeddings)], return_inverse=True)[1]


def kmeans(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Centroids [count, E] of [n, E] embeddings: by scikit-learn, or by faiss from FAISS_FROM recordings on."""
    if len(embeddings) >= FAISS_FROM:
        try:
            import faiss  # type: ignore[import-not-found]
        except ImportError:
            pass
        else:
            search = faiss.Kmeans(embeddings.shape[1], count, seed=seed, spherical=True)
            search.train(np.ascontiguousarray(embeddings, dtype=np.float32))
            return search.centroids
    from sklearn.cluster import KMeans, MiniBatchKMeans

    kind = KMeans if len(embeddings) < MINI_BATCHES_FROM else MiniBatchKMeans
    return kind(count, n_init=1, random_state=seed).fit(embeddings).cluster_centers_


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def purity(labels: np.ndarray, speakers: Sequence[str]) -> float:
    """Share of recordings whose speaker is the most frequent one of their cluster."""
    _, numbers = np.unique(np.asarray(speakers), return_inverse=True)
    table = coo_array((np.ones(len(labels)), (labels, numbers))).tocsr()  # adds up equal places
    return float(table.max(axis=1).sum() / len(labels))


def normalised_information(labels: np.ndarray, speakers: Sequence[str]) -> float:
    """NMI of clusters and speakers, from 0 to 1: mutual information over the mean of both entropies."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(np.asarray(speakers), labels))
