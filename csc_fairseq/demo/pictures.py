"""The demo's pictures: matplotlib figures as PNG bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import stft
from sklearn.manifold import TSNE

from csc_fairseq.page import png

LOUDEST_TO_FAINTEST_DB = 70.0
PERPLEXITY = 10.0  # t-SNE: about as many neighbours as a voice has utterances


def curves(panels: Sequence[tuple[str, Mapping[str, Sequence[tuple[float, float]]]]]) -> bytes:
    """Curves over updates, one panel per title: {"training": [(update, value), …], "validation": …} as a PNG."""
    figure = Figure(figsize=(3.4 * len(panels), 2.6))
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for label, points in lines.items():
            x, y = np.array(points, dtype=float).reshape(-1, 2).T
            axes.plot(x, y, label=label, linewidth=1.4, marker="o" if len(x) < 12 else None, markersize=3)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("update", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        if len(lines) > 1:
            axes.legend(fontsize=7)
    figure.tight_layout()
    return png(figure)


def spectrogram(samples: np.ndarray, sample_rate: int) -> bytes:
    """Level in dB over time and frequency of a waveform [T], from its loudest cell to 70 dB below it, as a PNG."""
    frequencies, times, cells = stft(samples, sample_rate, nperseg=512, noverlap=384)
    level = 20 * np.log10(np.maximum(np.abs(cells), 1e-9))
    figure = Figure(figsize=(7.2, 1.9))
    axes = figure.subplots()
    top = level.max()
    axes.pcolormesh(
        times, frequencies / 1000, level, cmap="magma", vmin=top - LOUDEST_TO_FAINTEST_DB, vmax=top, rasterized=True
    )
    axes.set_ylabel("kHz", fontsize=8)
    axes.set_xlabel("s", fontsize=8)
    axes.tick_params(labelsize=7)
    return png(figure)


def embedding_map(embeddings: np.ndarray, speakers: Sequence[str]) -> bytes:
    """2-D map (t-SNE on cosine distances, fixed seed) of embeddings [n, E], with a colour and mark per speaker, as a PNG."""
    perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
    # exact: fast enough for hundreds of points. The threads of the default method are slow on a busy machine.
    method = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=0, method="exact")
    places = method.fit_transform(np.asarray(embeddings, dtype=np.float64))
    names = sorted(set(speakers))
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.subplots()
    for number, name in enumerate(names):
        own = np.array([speaker == name for speaker in speakers])
        colour = f"C{number % 10}"
        axes.scatter(places[own, 0], places[own, 1], s=16, color=colour, marker="os^Dv"[number // 10 % 5], label=name)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=6.5, bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False)
    return png(figure)
