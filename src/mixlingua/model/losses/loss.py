"""What every loss of a step is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mixlingua.model.losses.step import StepVectors


class StepLoss(nn.Module, ABC):
    """Maps the vectors of a step to a scalar; `weight` is its factor in the sum of several."""

    of_texts = True  # whether the vectors of whole texts have a gradient from it

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    @property
    def views(self) -> dict[str, int]:
        """The further texts that it needs (data/views.py), and how many of each row."""
        return {}

    @property
    def tokens(self) -> frozenset[str]:
        """The texts, by name (data/views.py), of which it needs a vector for each token."""
        return frozenset()

    @abstractmethod
    def forward(self, step: StepVectors) -> Tensor:
        """The loss of this process, a scalar; its mean over processes is that of the whole batch."""
