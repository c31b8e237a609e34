"""What is trained: the project's classifiers, and teachers that need not stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.gpu.plan import LearnerPlan


class Inputs(NamedTuple):
    """Clips as networks hear them.

    Attributes:
        log_mel: float32 [batch, frames, bands], about -2.5 to 1.5.
        mfcc: float32 [batch, frames, coefficients], normalized.
    """

    log_mel: torch.Tensor
    mfcc: torch.Tensor


class Recurrent(nn.Module):
    """The classifier of :func:`speech_rnn.models.build_classifier`, from normalized MFCC on."""

    def __init__(
        self, cell: str, units: int, n_labels: int, *, n_mfcc: int = 40, dropout: float = 0.2, stack: int = 3
    ) -> None:
        """Draw the weights as Keras would.

        Args:
            cell: ``gru`` or ``lstm``.
            units: of each of the two layers.
            n_labels: labels to tell apart.
            n_mfcc: coefficients of a frame.
            dropout: share of values that are dropped behind each layer.
            stack: frames of a step.
        """
        super().__init__()
        self.stack = stack
        layer = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.layers = nn.ModuleList(layer(size, units, batch_first=True) for size in (stack * n_mfcc, units))
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(units, n_labels)
        for one in self.layers:
            _initialize(one)
        nn.init.xavier_uniform_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, mfcc: torch.Tensor) -> torch.Tensor:
        """[batch, frames, n_mfcc] -> logits [batch, n_labels], from the last state."""
        x = _stacked(mfcc, self.stack)
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return self.logits(x[:, -1])

    def keras_weights(self) -> list[NDArray[np.float32]]:
        """As the Keras classifier has them, behind its normalization."""
        layers = [weight for layer in self.layers for weight in _keras_weights(layer)]
        return [*layers, _array(self.logits.weight).T, _array(self.logits.bias)]


class BothWays(nn.Module):
    """Recurrent layers that hear the clip both ways, then attention with one learned question.

    Additive attention as in Yang et al. 2016, doi:10.18653/v1/N16-1174.
    """

    def __init__(self, units: int, n_labels: int, *, n_mfcc: int = 40, dropout: float = 0.3, stack: int = 2) -> None:
        """Draw the weights; the arguments are those of :class:`Recurrent`, ``units`` in each direction."""
        super().__init__()
        self.stack = stack
        self.layers = nn.ModuleList(
            nn.GRU(size, units, batch_first=True, bidirectional=True) for size in (stack * n_mfcc, 2 * units)
        )
        self.dropout = nn.Dropout(dropout)
        self.told, self.asked = nn.Linear(2 * units, units), nn.Linear(units, 1, bias=False)
        self.logits = nn.Linear(2 * units, n_labels)

    def forward(self, mfcc: torch.Tensor) -> torch.Tensor:
        """[batch, frames, n_mfcc] -> logits [batch, n_labels]."""
        x = _stacked(mfcc, self.stack)
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        weights = torch.softmax(self.asked(torch.tanh(self.told(x))), 1)
        return self.logits((weights * x).sum(1))


class Residual(nn.Module):
    """A residual network over time and frequency (He et al. 2016, arXiv:1512.03385), on log-mels."""

    def __init__(self, width: int, n_labels: int, *, dropout: float = 0.3) -> None:
        """Draw the weights.

        Args:
            width: channels of the first of three stages; each next has twice as many.
            n_labels: labels to tell apart.
            dropout: share of values that are dropped before the logits.
        """
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, width, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            _Block(width, width, stride=1),
            _Block(width, width, stride=1),
            _Block(width, 2 * width, stride=2),
            _Block(2 * width, 2 * width, stride=1),
            _Block(2 * width, 4 * width, stride=2),
            _Block(4 * width, 4 * width, stride=1),
        )
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(4 * width, n_labels)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """[batch, frames, bands] -> logits [batch, n_labels]."""
        x = self.first(log_mel[:, None].contiguous(memory_format=torch.channels_last))
        return self.logits(self.dropout(self.blocks(x).float().mean((2, 3))))


class _Block(nn.Module):
    """Two convolutions, and what went in beside them."""

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.beside: nn.Module = nn.Identity()
        if n_in != n_out or stride > 1:
            self.beside = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.beside(x))


def build(plan: LearnerPlan, n_labels: int) -> nn.Module:
    """The network of a plan, its weights drawn."""
    if plan.kind == "residual":
        return Residual(plan.units, n_labels, dropout=plan.dropout).to(memory_format=torch.channels_last)
    if plan.kind == "both_ways":
        return BothWays(plan.units, n_labels, dropout=plan.dropout, stack=plan.stack)
    return Recurrent(plan.kind, plan.units, n_labels, dropout=plan.dropout, stack=plan.stack)


def heard_by(network: nn.Module, inputs: Inputs) -> torch.Tensor:
    """What of the inputs a network takes."""
    return inputs.log_mel if isinstance(network, Residual) else inputs.mfcc


def logits_of(network: nn.Module, heard: torch.Tensor) -> torch.Tensor:
    """What a network says of what it hears, float32 [batch, n_labels]; a GPU convolves in bfloat16."""
    in_bfloat16 = isinstance(network, Residual) and heard.device.type == "cuda"
    with torch.autocast(heard.device.type, torch.bfloat16, enabled=in_bfloat16):
        return network(heard).float()


def weights_of(network: nn.Module) -> list[NDArray[Any]]:
    """Its weights as they are kept: those of a classifier as Keras has them, those of others at half precision."""
    if isinstance(network, Recurrent):
        return list(network.keras_weights())
    arrays = [value.detach().cpu().numpy() for value in network.state_dict().values()]
    return [one.astype(np.float16) if one.dtype == np.float32 and one.ndim > 1 else one for one in arrays]


def set_weights(network: nn.Module, weights: Sequence[NDArray[Any]]) -> None:
    """Set what :func:`weights_of` gave; not for a :class:`Recurrent`, which has them otherwise."""
    names = list(network.state_dict())
    network.load_state_dict({name: torch.tensor(array) for name, array in zip(names, weights, strict=True)})


def _stacked(x: torch.Tensor, stack: int) -> torch.Tensor:
    """[batch, frames, size] -> [batch, steps, stack * size]; frames that don't fill the last step are left out."""
    n, frames, size = x.shape
    steps = frames // stack
    return x[:, : steps * stack].reshape(n, steps, stack * size)


def _keras_weights(layer: nn.Module) -> list[NDArray[np.float32]]:
    """Kernel, recurrent kernel and bias of a recurrent layer."""
    kernel, recurrent, *biases = (
        _array(getattr(layer, name)) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    )
    if isinstance(layer, nn.LSTM):  # input, forget, cell, output in both
        return [kernel.T, recurrent.T, biases[0] + biases[1]]
    # Reset, update, new in PyTorch; update, reset, new in Keras, which like PyTorch keeps both biases.
    reset, update, new = np.arange(len(kernel)).reshape(3, -1)
    order = np.concatenate([update, reset, new])
    return [kernel[order].T, recurrent[order].T, np.stack([bias[order] for bias in biases])]


def _array(weight: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(weight.detach().float().cpu().numpy())


def _initialize(layer: nn.Module) -> None:
    """As Keras: Glorot's uniform for inputs, orthogonal for states, an LSTM's forget gate open."""
    nn.init.xavier_uniform_(layer.weight_ih_l0)
    nn.init.orthogonal_(layer.weight_hh_l0)
    nn.init.zeros_(layer.bias_ih_l0)
    nn.init.zeros_(layer.bias_hh_l0)
    if isinstance(layer, nn.LSTM):
        with torch.no_grad():
            layer.bias_ih_l0.chunk(4)[1].fill_(1.0)
