"""A network that learns, and what it is when it has learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from benchmarks.gpu.networks import Inputs, Residual, build, heard_by, logits_of
from benchmarks.gpu.plan import LearnerPlan

_STEPS_A_LOSS = 50
_STEPS_BEFORE_GRAPH = 5  # cuDNN chooses its kernels, and AdamW makes its state


@dataclass(frozen=True)
class FrontEnd:
    """Log-mels to what networks hear.

    Attributes:
        cosines: float32 [bands, coefficients].
        mean: float32 [coefficients].
        variance: float32 [], one for all coefficients.
    """

    cosines: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor

    def __call__(self, log_mel: torch.Tensor) -> Inputs:
        """Float32 [batch, frames, bands], dB, to the inputs of both kinds of networks."""
        return Inputs((log_mel + 30) / 20, (log_mel @ self.cosines - self.mean) / self.variance.sqrt())


@dataclass(frozen=True)
class Model:
    """A network that has learned, behind the front end that it learned with."""

    network: nn.Module
    front_end: FrontEnd

    def scores(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Float32 [batch, frames, bands], dB, to float32 [batch, labels], rows that add up to 1."""
        return torch.softmax(logits_of(self.network, heard_by(self.network, self.front_end(log_mel))), 1)


class Learner:
    """A network that is trained, on a GPU beside others, on a stream of its own.

    A step of a recurrent network is a thousand small kernels, which the processor is too slow to launch one by one;
    recorded once, as a CUDA graph, they are replayed at once.

    Attributes:
        stream: where its steps run; ``None`` without a GPU.
        loss: of the last step.
    """

    def __init__(self, plan: LearnerPlan, n_labels: int, device: torch.device, *, graph: bool = False) -> None:
        """Draw the weights.

        Args:
            plan: what it is.
            n_labels: labels to tell apart.
            device: where it is.
            graph: whether its steps are recorded, if it is a recurrent network on a GPU.
        """
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = build(plan, n_labels).to(device)
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream() if on_gpu else None
        self.loss = torch.zeros((), device=device)
        # A tensor, for a graph keeps plain numbers as they were when it was recorded.
        self._rate = torch.zeros((), device=device)
        self._optimizer = torch.optim.AdamW(
            _groups(self.network, plan.weight_decay),
            lr=self._rate if on_gpu else 0.0,
            eps=1e-7,
            fused=on_gpu,
            capturable=on_gpu,
        )
        self._records = graph and on_gpu and not isinstance(self.network, Residual)
        self._recorded: _Recorded | None = None
        self._losses: list[torch.Tensor] = []
        self._n_steps = 0

    def step(self, inputs: Inputs, targets: torch.Tensor, progress: float) -> None:
        """Learn from a batch.

        Args:
            inputs: what is heard.
            targets: float32 [batch, labels], rows that add up to 1.
            progress: share of the phase that has passed, 0 to 1; it decides on the learning rate.
        """
        heard = heard_by(self.network, inputs)
        with torch.cuda.stream(self.stream):  # nothing, where there is none
            self._set_rate(self.plan.rate(progress))
            if self._records and self._n_steps >= _STEPS_BEFORE_GRAPH:
                self._replay(heard, targets)
            else:
                self._learn(heard, targets)
            self._n_steps += 1
            if self._n_steps % _STEPS_A_LOSS == 0:
                self._losses.append(self.loss.detach().clone())

    def mean_loss(self) -> float:
        """The mean of the last 20 losses of those that are kept, every 50th and the last."""
        mean: float = torch.stack([*self._losses, self.loss.detach()])[-20:].mean().item()
        return mean

    def _set_rate(self, rate: float) -> None:
        if self.stream is not None:
            self._rate.fill_(rate)
            return
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _learn(self, heard: torch.Tensor, targets: torch.Tensor) -> None:
        logits = logits_of(self.network, heard)
        self.loss = -(targets * functional.log_softmax(logits, 1)).sum(1).mean()
        self._optimizer.zero_grad(set_to_none=True)
        self.loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=True)
        self._optimizer.step()

    def _replay(self, heard: torch.Tensor, targets: torch.Tensor) -> None:
        """As :meth:`_learn`, from the graph, which is recorded the first time."""
        if self._recorded is None:
            self._recorded = self._record(heard, targets)
        self._recorded.heard.copy_(heard)
        self._recorded.targets.copy_(targets)
        self._recorded.graph.replay()

    def _record(self, heard: torch.Tensor, targets: torch.Tensor) -> _Recorded:
        torch.cuda.current_stream().synchronize()
        recorded = _Recorded(torch.cuda.CUDAGraph(), heard.clone(), targets.clone())
        self._optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(recorded.graph, stream=self.stream):
            self._learn(recorded.heard, recorded.targets)
        return recorded


@dataclass(frozen=True)
class _Recorded:
    """A step as a graph, and where it reads: each batch is copied there."""

    graph: torch.cuda.CUDAGraph
    heard: torch.Tensor
    targets: torch.Tensor


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters as the optimizer takes them: biases and scales don't decay."""
    parameters = list(network.parameters())
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
