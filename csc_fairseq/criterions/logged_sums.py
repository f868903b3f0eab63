"""From the sums that every rank logs to the means that fairseq shows."""

from fairseq import metrics


class LoggedSums(dict[str, float]):
    """The sums over all batches and ranks, by name.

    Args:
        logging_outputs: what the criterion logged, a dictionary for each batch of each rank, all with the same names.
    """

    def __init__(self, logging_outputs: list[dict]) -> None:
        super().__init__({name: float(sum(log[name] for log in logging_outputs)) for name in logging_outputs[0]})

    def log_mean(self, name: str, count: str, shown_as: str | None = None, digits: int = 3) -> None:
        """Shows sum over count, weighted by the count in means over many updates. Nothing if either is missing or nothing counted.

        Args:
            name, count: of the sum and of what it is divided by. shown_as: another name for the mean.
            digits: after the decimal point.
        """
        if name in self and self.get(count):
            metrics.log_scalar(shown_as or name, self[name] / self[count], self[count], round=digits)

    def log_data_wait(self) -> None:
        """Shows `data_wait`: the share of the time that training waits for data, from 0 to 1. `MixtureTask` logs the seconds."""
        self.log_mean("wait_seconds", "step_seconds", "data_wait", 4)
