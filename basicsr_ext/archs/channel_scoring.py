"""How much each channel of a student counts when it is compared with its teacher."""

from torch import Tensor, nn


class ChannelScoring(nn.Module):
    """phi = sigmoid(MLP(avgpool F) + MLP(maxpool F)), the channel attention of CBAM (FlexIR, Eq. 3; Woo et al., 2018).

    Args:
        dim: channels.
        ratio: by which the hidden layer of the shared MLP is narrower.
    """

    def __init__(self, dim: int, ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, dim // ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))

    def forward(self, features: Tensor) -> Tensor:
        """Score N x C x H x W; returns N x C x 1 x 1 in (0, 1)."""
        scores: Tensor = (self.mlp(features.mean((2, 3))) + self.mlp(features.amax((2, 3)))).sigmoid()
        return scores[:, :, None, None]
