"""Who says which words in the embedded corpus, and in which part.

``python -m datasets.choose_voices`` prints what the table of espeak-ng variants was made from. Left out are those that
are understood in less than nine words of ten, whispers (caleb, whisper, whisperf), and all but one of near doubles.
Variants that sound alike are in one part together, so that validation and testing are voices never trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

from speech_rnn.data.clips import Part

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"),
)
WORDS = (*COMMANDS, *OTHER_WORDS)

# Clips a word. A task draws its unknown word from twenty, so each of those needs fewer.
COMMAND_TAKES: dict[Part, int] = {"training": 360, "validation": 35, "testing": 35}
OTHER_TAKES: dict[Part, int] = {"training": 70, "validation": 14, "testing": 14}

# Files of espeak-ng's `lang/gmw` for English.
ACCENTS = (
    *("en", "en-US", "en-029", "en-GB-scotland"),
    *("en-GB-x-rp", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-US-nyc"),
)

ESPEAK_VARIANTS: dict[Part, tuple[str, ...]] = {
    "training": (
        *("Alex", "Andrea", "Andy", "AnxiousAndy", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Mike"),
        *("Mr serious", "Reed", "RicishayMax", "RicishayMax3", "Tweaky", "adam", "anika", "anikaRobot", "announcer"),
        *("aunty", "benjamin", "croak", "david", "edward", "f2", "f4", "f5", "fast", "grandpa", "iven", "iven3"),
        *("iven4", "john", "klatt", "klatt2", "klatt3", "klatt5", "linda", "m1", "m3", "m5", "m6", "max", "michel"),
        *("miguel", "mike2", "pablo", "rob", "robert", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5"),
        *("robosoft7", "robosoft8", "shelby", "steph", "steph2"),
    ),
    "validation": (
        *("Mario", "Nguyen", "RicishayMax2", "Storm", "belinda", "ed", "f1", "grandma", "m2", "m7", "paul", "pedro"),
        "victor",
    ),
    "testing": (
        *("Annie", "Denis", "Michael", "antonio", "boris", "f3", "gustave", "m4", "m8", "marcelo", "quincy"),
        *("robosoft6", "sandro", "travis"),
    ),
}

FLITE_VOICES: dict[Part, tuple[str, ...]] = {
    "training": ("kal16", "slt"),
    "validation": ("awb",),
    "testing": ("rms",),
}
# How often each of these, made from recorded people, speaks where a variant of espeak-ng speaks once.
FLITE_TURNS: dict[Part, int] = {"training": 4, "validation": 1, "testing": 1}


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of one of the two engines.

    Attributes:
        engine: ``espeak`` or ``flite``.
        name: as the engine calls it: a variant (``m1``) or a voice (``slt``).
    """

    engine: str
    name: str

    @property
    def speaker(self) -> str:
        """Its name in the index: ``espeak-m1``, ``flite-slt``."""
        return f"{self.engine}-{self.name.lower().replace(' ', '-')}"


def voices_of(part: Part, *, flite: bool = True) -> list[Voice]:
    """All voices of a part, espeak-ng's first."""
    espeak_voices = [Voice("espeak", name) for name in ESPEAK_VARIANTS[part]]
    return espeak_voices + ([Voice("flite", name) for name in FLITE_VOICES[part]] if flite else [])


def takes_of(word: str, part: Part) -> int:
    """How many clips of a word a part holds."""
    return (COMMAND_TAKES if word in COMMANDS else OTHER_TAKES)[part]
