"""The text of the demo's page."""

from csc_fairseq.demo.corpus import CorpusOptions
from csc_fairseq.demo.training import UPDATE, History

RESULTS_NOTE = (
    "EER: equal error rate, 50 % by chance, smaller is better. Trials are all pairs of recordings of the "
    "held-out voices. The enrolment is clean. The test recording is clean or mixed over its whole "
    "length with one talker who is neither of the two. The score is the cosine with the most "
    "similar stream. Intervals come from resampled speakers. Synthetic voices are much easier to "
    "distinguish than people: these figures show that the programs work, and say nothing about "
    "real speech."
)
ORIGINS = (
    (
        "From the paper's abstract",
        (
            "A shared separative trunk with one head that separates and one head that embeds, trained together.",
            "Speaker representations under various interfering conditions answer the embedding (bottom-up query).",
            "The contrastive separative loss against global speaker vectors: probabilistic, a lower bound on mutual "
            "information, without negative sampling.",
        ),
    ),
    (
        "Our choices",
        (
            "The answer is the other view of the same recording, under other interference, and it is the global speaker "
            "vector. The loss sums over all talkers of a batch, those who interfere among them; no speaker label is read.",
            "GALR blocks (recurrent within segments, attentive across them), utterance-level "
            "permutation-invariant SI-SNR, and the same permutation for the embeddings.",
            "The synthetic voices, the size of the network, every training setting, and the trials.",
        ),
    ),
)


def summary(options: CorpusOptions, history: History, held_out: int) -> str:
    """What the demo did, in two sentences. held_out: number of test voices."""
    return (
        f"{options.voices} voices of espeak-ng, {options.utterances} utterances each of "
        f"{options.seconds[0]:g} to {options.seconds[1]:g} seconds; {held_out} voices were held out. "
        f"A small CSC model learnt from mixtures of the others for {history.last(UPDATE):.0f} updates "
        f"in {history.last('wall') / 60:.1f} minutes. The names of the voices served the trials alone: learning was without labels."
    )
