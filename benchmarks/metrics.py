"""Time and memory of EER and minimum DCF on many trials, compared with scikit-learn's roc_curve on the same scores.

    python benchmarks/metrics.py [--trials 10000000] [--repeats 3]

Each measurement runs in a separate process; the two programs take turns. The memory is the peak of the process, including
the scores and the imported libraries. roc_curve only makes the curve from which EER and minimum DCF would be read.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from sklearn.metrics import roc_curve

from csc_fairseq.verification.metrics.error_rates import eer, min_dcf

TARGET_SHARE = 0.02
OURS, PEER = "eer + min_dcf", "roc_curve"


def measure(name: str, trials: int) -> tuple[float, float, tuple[float, ...]]:
    """(seconds, peak GB of this process, EER and minimum DCF if measured). Both programs get the same scores."""
    rng = np.random.default_rng(0)
    is_target = np.arange(trials) < round(TARGET_SHARE * trials)
    scores = rng.standard_normal(trials)
    scores += 2 * is_target
    target, nontarget = scores[is_target], scores[~is_target]
    start = time.perf_counter()
    if name == OURS:
        figures: tuple[float, ...] = (eer(target, nontarget), min_dcf(target, nontarget, 0.01))
    else:
        roc_curve(is_target, scores, drop_intermediate=False)
        figures = ()
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts (default: %(default)s)")
    arguments = parser.parse_args()
    found: dict[str, list] = {OURS: [], PEER: []}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for _ in range(arguments.repeats):
            for name, results in found.items():
                results.append(processes.submit(measure, name, arguments.trials).result())
    print(f"{arguments.trials} trials, {TARGET_SHARE:.0%} targets; fastest of {arguments.repeats}")
    for name, results in found.items():
        print(f"{name:15}{min(row[0] for row in results):8.2f} s   peak {max(row[1] for row in results):.2f} GB")
    rate, cost = found[OURS][0][2]
    print(f"EER {100 * rate:.3f} %, minimum DCF(0.01) {cost:.4f}")
    ratio = min(row[0] for row in found[PEER]) / min(row[0] for row in found[OURS])
    print(f"{OURS} is {ratio:.1f} times as fast as {PEER}")


if __name__ == "__main__":
    main()
