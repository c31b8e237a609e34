"""Everything that a user can do wrong, as one small tree.

A message names the value, the rule it breaks and the remedy, on one line:
``hop_length=0 must be at least 1 sample; 160 is usual``.
"""


class SpeechRnnError(Exception):
    """Base of every error that is the caller's to mend."""


class SettingsError(SpeechRnnError):
    """A setting is out of its range, unknown, or contradicts another."""


class AudioError(SpeechRnnError):
    """A file or an array is not the sound it should be."""


class DataError(SpeechRnnError):
    """A collection of recordings can't be used as asked."""


class ModelError(SpeechRnnError):
    """A run, an artefact or a cell is missing, damaged or of another version."""


class DeviceError(SpeechRnnError):
    """There is no sound card, it can't be used as asked, or it went away."""
