"""How loud a clip is spoken."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

N_BLOCKS = 50  # a clip is that many blocks (20 ms of a second) when its active part is looked for
ACTIVE_SHARE = 0.01  # what is within 20 dB of the loudest is active


def active_rms(samples: NDArray[np.float32]) -> float:
    """The level of what is spoken in a clip, RMS: pauses, and silence at the ends, don't count.

    Args:
        samples: float32 [samples], full scale ±1.

    Returns:
        RMS of those fiftieths of the clip that are within 20 dB of the loudest; 0 for digital silence.
    """
    block = max(1, len(samples) // N_BLOCKS)
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    energies = np.vecdot(blocks, blocks)
    active = energies[energies >= ACTIVE_SHARE * energies.max()]
    return sqrt(float(active.sum()) / (block * len(active)))


def active_power(frame_powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean power of what is spoken in clips, from the power of each frame.

    Args:
        frame_powers: float32 [clips, frames], in any unit.

    Returns:
        float32 [clips]: mean over those frames that are within 20 dB of the clip's loudest; 0 for digital silence.
    """
    active = frame_powers >= ACTIVE_SHARE * frame_powers.max(axis=1, keepdims=True)
    return np.asarray((frame_powers * active).sum(axis=1) / active.sum(axis=1), np.float32)
