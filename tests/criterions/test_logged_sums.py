"""From sums to means, as fairseq shows them."""

import pytest
import torch
from fairseq import metrics

from csc_fairseq.criterions.logged_sums import LoggedSums


def shown(log) -> dict[str, float]:
    """What `log` shows, all in one interval of logging."""
    with metrics.aggregate(new_root=True) as meters:
        log()
    return meters.get_smoothed_values()


def test_sums_are_over_all_outputs_tensors_and_numbers_alike():
    sums = LoggedSums([{"loss": torch.tensor(1.5), "views": 2}, {"loss": 2.0, "views": 4}])
    assert sums == {"loss": 3.5, "views": 6.0} and all(type(value) is float for value in sums.values())


def test_a_mean_is_weighted_by_its_count_over_updates():
    """1.0 of 3 and 4.0 of 1: 1.75, not 2.5."""

    def log():
        LoggedSums([{"loss": 3.0, "views": 3}]).log_mean("loss", "views", "mean_loss")
        LoggedSums([{"loss": 4.0, "views": 1}]).log_mean("loss", "views", "mean_loss")

    assert shown(log) == {"mean_loss": 1.75}


def test_digits():
    assert shown(lambda: LoggedSums([{"correct": 1, "talkers": 3}]).log_mean("correct", "talkers", digits=4)) == {
        "correct": 0.3333
    }


@pytest.mark.parametrize("sums", [{"loss": 1.0, "views": 0}, {"loss": 1.0}, {"views": 2}])
def test_nothing_is_shown_of_what_was_not_counted(sums):
    assert shown(lambda: LoggedSums([sums]).log_mean("loss", "views")) == {}


def test_data_wait_is_a_share_of_the_time_of_all_ranks():
    def log():
        LoggedSums(
            [{"wait_seconds": 0.1, "step_seconds": 1.0}, {"wait_seconds": 0.3, "step_seconds": 1.0}]
        ).log_data_wait()

    assert shown(log) == {"data_wait": 0.2}
    assert shown(LoggedSums([{"loss": 1.0}]).log_data_wait) == {}
