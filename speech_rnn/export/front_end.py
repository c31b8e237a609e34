"""The front end written a second time, in TensorFlow operators, so that it can live inside a model file.

:mod:`speech_rnn.features` is the definition; this is held to it within 1e-3 on any sound where the spectrum is
computed in double precision. TFLite's RFFT2D does so by itself (Ooura's fft2d); TensorFlow's FFT only when told to.
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

    def __init__(self, settings: FeatureSettings, spectrum: tf.DType = tf.float32) -> None:
        """Take window, bands and cosines from the definition.

        Args:
            settings: the front end.
            spectrum: ``tf.float32``, the only one that converts to TFLite, or ``tf.float64``. In float32 TensorFlow's
                FFT rounds at 1e-7 of the loudest bin, which shows where a band lies 110 dB below: beside a clean
                tone MFCC are off by up to 4e-3 (``power_floor`` 1e-8) or 8e-2 (1e-10).
        """
        super().__init__(name="front_end")
        self.settings = settings
        basis = features.basis(settings)
        self._spectrum = spectrum
        self._window = basis.window.astype(spectrum.as_numpy_dtype)
        self._bands = basis.bands
        self._cosines = basis.cosines
        self._floor = np.float32(10 * np.log10(settings.power_floor))
        self._offset = np.zeros(settings.n_mfcc, np.float32)
        self._offset[0] = self._floor * np.sqrt(settings.n_mels)

    def __call__(self, samples: tf.Tensor) -> tf.Tensor:
        """MFCC of clips.

        Args:
            samples: float32 [batch, samples], at ``settings.sample_rate``, full scale ±1, at least ``n_fft`` long.

        Returns:
            float32 [batch, frames, n_mfcc], coefficient 0 first.
        """
        return self._mfcc(tf.signal.frame(samples, self.settings.n_fft, self.settings.hop_length))

    def few(self, samples: tf.Tensor, n_frames: int) -> tf.Tensor:
        """MFCC of a few frames, in operators that leave the size of the batch open.

        Args:
            samples: float32 [batch, n_fft + (n_frames - 1) * hop_length].
            n_frames: how many.

        Returns:
            float32 [batch, n_frames, n_mfcc].
        """
        n_fft, hop = self.settings.n_fft, self.settings.hop_length
        frames = tf.concat([samples[:, i * hop : i * hop + n_fft] for i in range(n_frames)], axis=1)
        return tf.reshape(self._mfcc(tf.reshape(frames, [-1, n_fft])), [-1, n_frames, self.settings.n_mfcc])

    def _mfcc(self, frames: tf.Tensor) -> tf.Tensor:
        """float32 [..., n_fft] -> [..., n_mfcc]."""
        windowed = tf.cast(frames, self._spectrum) * self._window
        magnitude = tf.cast(tf.abs(tf.signal.rfft(windowed)), tf.float32)
        mel = tf.linalg.matmul(tf.square(magnitude), self._bands)
        above_floor = features.DB_PER_NEPER * tf.math.log(tf.maximum(mel, self.settings.power_floor)) - self._floor
        # Only coefficient 0 hears a constant. Without the floor the sums are smaller and round less.
        return tf.linalg.matmul(above_floor, self._cosines) + self._offset
