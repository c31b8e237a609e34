"""What a start costs: import, help, load and first prediction, each in a fresh interpreter.

    python benchmarks/startup.py [--json]

Prints the fastest and the median of several starts, wall-clock, and the median of their CPU time, which other work on
the machine disturbs less. Bytecode is compiled already.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
Times = list[tuple[float, float]]  # seconds by the clock, seconds of CPU
# Its own clocks, so that the start of Python (10 to 30 ms) is not counted.
INSIDE = """
import sys, time
clock, cpu = time.perf_counter(), time.process_time()
{code}
print(time.perf_counter() - clock, time.process_time() - cpu)
"""
FIRST_PREDICTION = """
import numpy, speech_rnn
recognizer = speech_rnn.load(sys.argv[1])
recognizer.predict(numpy.zeros(16_000, numpy.float32), 16_000)
"""
# Not getrusage: its peak is inherited from the process that started this one.
PEAK = (
    FIRST_PREDICTION
    + """
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""
)


def inside(code: str, *arguments: str) -> Times:
    """What some code takes in a fresh interpreter."""
    command = [sys.executable, "-c", INSIDE.format(code=code), *arguments]
    times = []
    for _ in range(ROUNDS + 1):
        clock, cpu = subprocess.check_output(command, text=True).split()[-2:]
        times.append((float(clock), float(cpu)))
    return times[1:]


def outside(*arguments: str) -> Times:
    """What a whole command takes, Python's own start included."""
    times = []
    for _ in range(ROUNDS):
        clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "speech_rnn.cli.main", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        times.append((time.perf_counter() - clock, cpu))
    return times


def summary(times: Times) -> dict[str, float]:
    clock, cpu = zip(*times, strict=True)
    seconds = {"fastest": min(clock), "median": statistics.median(clock), "cpu": statistics.median(cpu)}
    return {f"{name}_ms": round(1_000 * value) for name, value in seconds.items()}


def make_model(folder: Path) -> Path:
    """A shipped model if there is one, else an untrained one of two GRU layers of 128, which costs the same."""
    from speech_rnn.runtime import shipped_models

    for shipped in shipped_models().values():
        return shipped
    import numpy as np

    from speech_rnn.card import Card, FileEntry, TrainingSummary
    from speech_rnn.config import FeatureSettings, ModelSettings
    from speech_rnn.export.tflite import clip_file, convert_front_end, convert_step, stream_file
    from speech_rnn.models import build_classifier, state_sizes

    features, settings = FeatureSettings(), ModelSettings(units=128)
    classifier = build_classifier(settings, features.n_frames, features.n_mfcc, 12)
    card = Card.make(
        name="untrained",
        labels=tuple("abcdefghijkl"),
        features=features,
        model=settings,
        states=tuple(state_sizes(classifier)),
        parameters=sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights),
        macs_per_second=1.0,
        synthetic=False,
        training=TrainingSummary(weights="untrained"),
    )
    front_end, step = convert_front_end(card), convert_step(classifier)
    entries = {}
    for name, make in (("clip", clip_file), ("stream", stream_file)):
        content = make(card, front_end, step)
        (folder / f"{name}.tflite").write_bytes(content)
        entries[f"{name}.tflite"] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), form=name)
    (folder / "card.json").write_text(card.with_files(entries).to_json())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        model = str(make_model(Path(place)))
        rows = {
            "import speech_rnn": (summary(inside("import speech_rnn")), 500),
            "import speech_rnn.runtime (LiteRT, NumPy)": (summary(inside("import speech_rnn.runtime")), 600),
            "import, load, first prediction": (summary(inside(FIRST_PREDICTION, model)), 600),
            "speech-rnn --help, start of Python included": (summary(outside("--help")), 500),
        }
        peak_mb = float(subprocess.check_output([sys.executable, "-c", "import sys" + PEAK, model], text=True))
    if arguments.json:
        print(
            json.dumps({**{what: figures for what, (figures, _) in rows.items()}, "peak_mb": round(peak_mb)}, indent=2)
        )
        return
    print(f"{f'in a fresh interpreter, {ROUNDS} times':<44}{'fastest':>11}{'median':>11}{'CPU':>11}   bar")
    for what, (figures, bar_ms) in rows.items():
        print(f"{what:<44}" + "".join(f"{ms:8.0f} ms" for ms in figures.values()) + f"   under {bar_ms} ms")
    print(f"{'peak memory after the first prediction':<44}{peak_mb:8.0f} MB{'':22}   under 120 MB")


if __name__ == "__main__":
    main()
