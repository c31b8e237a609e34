"""The front end written a second time, in TensorFlow operators, so that it can live inside a model file.

:mod:`speech_rnn.features` is the definition; this is held to it within 1e-3 on speech, noise and silence (1e-2 on a
clean tone, where a float32 FFT rounds near the floor of the logarithm).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from speech_rnn import features
from speech_rnn.config import FeatureSettings


class FrontEnd(tf.Module):
    """Waveform -> MFCC, in operators that TFLite has built in.

    ``tf.signal.rfft`` becomes RFFT2D and COMPLEX_ABS; TFLite knows it for powers of two only, which
    :class:`FeatureSettings` demands. ``tf.signal.stft`` is no help: it puts the window first in the frame and pads
    behind, where librosa centres it.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        """Take window, bands and cosines from the definition."""
        super().__init__(name="front_end")
        self.settings = settings
        basis = features.basis(settings)
        self._window = basis.window.astype(np.float32)
        self._bands = basis.bands
        self._cosines = basis.cosines

    def __call__(self, samples: tf.Tensor) -> tf.Tensor:
        """MFCC of clips.

        Args:
            samples: float32 [batch, samples], at ``settings.sample_rate``, full scale ±1, at least ``n_fft`` long.

        Returns:
            float32 [batch, frames, n_mfcc], coefficient 0 first.
        """
        frames = tf.signal.frame(samples, self.settings.n_fft, self.settings.hop_length)
        magnitude = tf.abs(tf.signal.rfft(frames * self._window))
        mel = tf.linalg.matmul(tf.square(magnitude), self._bands)
        decibels = features.DB_PER_NEPER * tf.math.log(tf.maximum(mel, self.settings.power_floor))
        return tf.linalg.matmul(decibels, self._cosines)
