"""Pseudo-speakers on embeddings whose groups are known: their number, their members, and figures that agree with definitions."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from csc_fairseq.corpora import clustering
from csc_fairseq.corpora.clustering import (
    balanced,
    cluster,
    kmeans,
    normalised_information,
    purity,
    shared_information,
    stabilities,
)


def voices(speakers: int, recordings: int, spread: float = 0.25, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit-norm embeddings [n, 32] around as many random directions as there are speakers, shuffled; and the speakers."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(speakers), recordings))
    centres = rng.standard_normal((speakers, 32))
    embeddings = centres[labels] + spread * rng.standard_normal((len(labels), 32))
    return (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32), labels


def test_finds_the_groups_and_their_number():
    """20 speakers with 16 recordings each; numbers of clusters are tried in steps of 19 %."""
    embeddings, speakers = voices(20, 16)
    found = cluster(embeddings, None, seed=0)
    assert 17 <= found.count <= 24
    assert adjusted_rand_score(speakers, found.labels) > 0.9
    assert [count for count, _ in found.tried][:2] == [2, 3] and found.tried[-1][0] == 80
    best = max(stability for _, stability in found.tried)
    assert dict(found.tried)[found.count] == best > max(dict(found.tried)[2], found.tried[-1][1]) + 0.5


def test_a_given_number_is_kept_and_the_largest_cluster_comes_first():
    embeddings, _ = voices(12, 9)
    found = cluster(embeddings, 5, seed=0)
    sizes = np.bincount(found.labels)
    assert found.count == 5 and found.tried == () and (np.diff(sizes) <= 0).all()


def test_the_same_seed_gives_the_same_labels():
    embeddings, _ = voices(12, 9)
    first, second = (cluster(embeddings, None, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)


def test_noise_is_not_stable():
    """Of embeddings without groups, two halves agree on next to nothing, whatever the number of clusters."""
    embeddings, _ = voices(1, 300, spread=100.0)
    assert max(stability for _, stability in stabilities(embeddings, seed=0)) < 0.7


def test_few_recordings():
    embeddings, _ = voices(2, 4)
    assert 2 <= cluster(embeddings, None, seed=0).count <= 4


def test_shared_information_by_hand():
    """Equal labels tell their whole entropy; independent ones nothing, on average."""
    labels = np.repeat(np.arange(4), 500)
    assert shared_information(labels, labels) == pytest.approx(np.log(4), abs=0.01)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert abs(shared_information(labels, shuffled)) < 0.01


def test_purity_and_nmi():
    labels, speakers = np.array([0, 0, 0, 1, 1, 2]), ["a", "a", "b", "b", "b", "a"]
    assert purity(labels, speakers) == pytest.approx(5 / 6)
    rng = np.random.default_rng(0)
    labels, numbers = rng.integers(0, 5, 300), rng.integers(0, 7, 300)
    assert purity(labels, [str(number) for number in numbers]) == contingency_matrix(numbers, labels).max(0).sum() / 300
    assert normalised_information(labels, [str(label) for label in labels]) == pytest.approx(1)


class FaissKmeans:
    """As faiss.Kmeans is used; the groups are scikit-learn's."""

    def __init__(self, size: int, count: int, seed: int, spherical: bool) -> None:
        assert spherical
        self.count, self.size, self.seed = count, size, seed

    def train(self, vectors: np.ndarray) -> None:
        assert vectors.dtype == np.float32 and vectors.flags.c_contiguous and vectors.shape[1] == self.size
        self.centroids = KMeans(self.count, n_init=1, random_state=self.seed).fit(vectors).cluster_centers_


@pytest.mark.parametrize("module", [SimpleNamespace(Kmeans=FaissKmeans), None], ids=["faiss", "without"])
def test_many_recordings(monkeypatch, module):
    """faiss does it where it is installed, scikit-learn elsewhere."""
    monkeypatch.setitem(sys.modules, "faiss", module)
    monkeypatch.setattr(clustering, "FAISS_FROM", 1)
    embeddings, speakers = voices(6, 20)
    centroids = kmeans(np.asfortranarray(embeddings.astype(np.float64)), 6, seed=0)
    assert centroids.shape == (6, 32)
    assert adjusted_rand_score(speakers, (embeddings @ centroids.T).argmax(1)) > 0.5


def test_balanced_components_differ_by_the_root_of_their_deviations():
    """A direction that all recordings share decides no cosine any more; of the others, large ones still count for more."""
    deviations = np.array([100.0, 25.0, 4.0, 1.0])
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4000, 4)) * deviations + 1000
    found = balanced(vectors)
    assert found.shape == (4000, 4) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    ratios = (found[:, 1:] / found[:, :1] * np.sign(vectors[:, :1] - 1000)) / (
        (vectors[:, 1:] - 1000) / np.abs(vectors[:, :1] - 1000)
    )
    np.testing.assert_allclose(np.abs(np.median(ratios, axis=0)), np.sqrt(deviations[0] / deviations[1:]), rtol=0.1)
