"""A microphone, or a file that is played as one -> blocks of sound.

PortAudio calls back from a thread of its own; the callback copies the block into a bounded queue and returns, so that
no one who reads slowly ever holds up the sound: what doesn't fit is dropped and counted. PortAudio doesn't say that a
device went away, so a watchdog looks at when it last called. All calls into PortAudio are made by the watchdog's
thread: they can hang with a dead sound server, and then the reader goes on and the program can still end.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from speech_rnn.audio import read_blocks
from speech_rnn.errors import DeviceError
from speech_rnn.sound_card import Device, find_device, list_devices, no_answer, one_line, portaudio
from speech_rnn.text import plain

State = Literal["opening", "listening", "silent", "lost", "ended"]

BLOCK_S = 0.02
_QUEUE_S = 5.0  # of sound that may wait for a reader
_MOST_READ = 10  # blocks that one read gives together
_STALLED_S = 1.0  # without a callback: something is wrong
_REOPEN_S = 4.0  # without one: opened anew; a healthy device takes up to 3 s to its first block
_MOST_PATIENT = 8  # times that, since a slow machine may take longer
_RETRY_S = 1.0
_WATCH_S = 0.05
_START_S = 15.0  # until PortAudio must have opened the device or refused to
_STOP_S = 3.0
_USUAL_RATES = (48_000.0, 44_100.0, 16_000.0)


@dataclass(frozen=True, slots=True)
class Block:
    """Sound as it came.

    Attributes:
        samples: float32 [samples] or [samples, channels], full scale ±1; none where nothing came.
        rate: in Hz.
        gap: whether sound is missing between the block before and this one, since the device had gone away.
    """

    samples: NDArray[np.float32]
    rate: float
    gap: bool = False


class SoundInput(Protocol):
    """Where sound comes from, block by block."""

    @property
    def title(self) -> str:
        """What messages call it."""

    @property
    def state(self) -> State:
        """``silent``: open, and nothing comes; ``lost``: it went away and is being looked for."""

    @property
    def trouble(self) -> str:
        """What is wrong just now, on one line; empty where nothing is."""

    @property
    def overruns(self) -> int:
        """How many times sound was dropped because it wasn't taken in time."""

    def read(self, wait_s: float) -> Block | None:
        """What has come, waiting at most ``wait_s`` seconds for it; ``None`` at the end."""


class Microphone:
    """A PortAudio input; a context manager.

    Where the device goes away (unplugged, suspended, the sound server restarted) it is looked for, under its name,
    until it is back; meanwhile :meth:`read` gives empty blocks. PortAudio is started anew for that, which ends other
    streams of the process.

    Examples:
        with Microphone() as microphone:
            while True:
                block = microphone.read()
                for detection in stream.accept(block.samples, block.rate):
                    print(detection.label)
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        rate: float | None = None,
        queue_s: float = _QUEUE_S,
        stalled_s: float = _STALLED_S,
        reopen_s: float = _REOPEN_S,
        retry_s: float = _RETRY_S,
        start_s: float = _START_S,
        card: Callable[[], Any] = portaudio,
    ) -> None:
        """Name the device; it is opened by ``with``.

        Args:
            device: its number, its name or a part of it; ``None``: the system's default.
            rate: in Hz; ``None``: the device's own.
            queue_s: seconds of sound that may wait for a reader.
            stalled_s: seconds without sound after which something is wrong.
            reopen_s: seconds without sound after which the device is opened anew.
            retry_s: seconds between two attempts to open it.
            start_s: seconds that PortAudio may take to open it.
            card: gives ``sounddevice``; called in the thread that talks to PortAudio.
        """
        self._wanted = device
        self._wanted_rate = rate
        self._stalled_s, self._reopen_s, self._retry_s, self._start_s = stalled_s, reopen_s, retry_s, start_s
        self._get_card = card
        self._card: Any = None
        self.device: Device | None = None
        self.rate = 0.0
        self.reopened = 0
        self._state: State = "opening"
        self._trouble = ""
        # Each counter is written by one thread only: PortAudio's.
        self._dropped_blocks = 0
        self._overflows = 0
        self._queue: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self._most_waiting = max(1, round(queue_s / BLOCK_S))
        self._ahead: Block | None = None
        self._patience = 1
        self._calls_since_s: float | None = None  # when the thread went into PortAudio
        self._last_heard_s = 0.0
        self._heard_since_opened = False
        self._after_gap = False
        self._stop = threading.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Open the device.

        Raises:
            DeviceError: it can't be opened, or the sound system doesn't answer.
        """
        # A daemon: a call that hangs in PortAudio must not keep the program from ending.
        self._thread = threading.Thread(target=self._supervise, name="microphone", daemon=True)
        self._thread.start()
        if not self._started.wait(self._start_s):
            self.close()
            raise DeviceError(no_answer(self._start_s))
        if self._failure is not None:
            self.close()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def title(self) -> str:
        """The device's name for a message."""
        if self.device is not None:
            return self.device.title
        return "the default microphone" if self._wanted is None else repr(plain(str(self._wanted)))

    @property
    def state(self) -> State:
        """See :class:`SoundInput`."""
        return self._state

    @property
    def trouble(self) -> str:
        """See :class:`SoundInput`."""
        return self._trouble

    @property
    def overruns(self) -> int:
        """Blocks dropped because no one took them, and overflows that PortAudio told of."""
        return self._dropped_blocks + self._overflows

    def read(self, wait_s: float = 0.5) -> Block:
        """All that has come, at most 0.2 s of it at a time; empty where nothing came in ``wait_s`` seconds.

        Raises:
            DeviceError: opening the device anew can't mend it: PortAudio hangs in that, as it can when a sound server
                dies.
        """
        block, self._ahead = self._ahead, None
        if block is None:
            try:
                block = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except queue.Empty:
                self._check_thread()
                return Block(np.zeros(0, np.float32), self.rate or _USUAL_RATES[0])
        blocks = [block]
        while len(blocks) < _MOST_READ:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more.gap or more.rate != block.rate or more.samples.shape[1] != block.samples.shape[1]:
                self._ahead = more
                break
            blocks.append(more)
        return Block(np.concatenate([one.samples for one in blocks]), block.rate, block.gap)

    def _check_thread(self) -> None:
        """Raise what the thread that calls PortAudio has failed with, or that it hangs."""
        if self._failure is not None:
            raise self._failure
        since_s = self._calls_since_s
        if since_s is not None and time.monotonic() - since_s > self._start_s:
            self._state, self._trouble = "lost", no_answer(self._start_s)
            raise DeviceError(self._trouble)

    def discard(self) -> None:
        """Forget what has come and was not read, so that the next read begins now."""
        self._ahead = None
        while not self._queue.empty():
            self._queue.get_nowait()

    def close(self) -> None:
        """Close the device; returns after seconds even where PortAudio hangs."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)
            if self._thread.is_alive() and self._card is not None:
                # It hangs in PortAudio, and so would the handler with which sounddevice ends it.
                atexit.unregister(self._card._exit_handler)
        self._state = "ended"

    def _supervise(self) -> None:
        """The only thread that calls PortAudio: opens the device, watches it, opens it anew."""
        try:
            self._calls_since_s = time.monotonic()
            self._card = self._get_card()
            while not self._stop.is_set():
                try:
                    stream = self._open()
                except DeviceError as error:
                    if not self._started.is_set():
                        raise
                    self._state, self._trouble = "lost", str(error)
                else:
                    self._started.set()
                    self._calls_since_s = None
                    self._watch(stream)
                    self._calls_since_s = time.monotonic()
                    self._abandon(stream)
                self._calls_since_s = None
                if self._stop.wait(self._retry_s if self._state == "lost" else 0.0):
                    break
                self._calls_since_s = time.monotonic()
                self._restart_portaudio()
        except BaseException as error:
            self._failure = error
            self._trouble = one_line(error)
        finally:
            self._started.set()

    def _open(self) -> Any:
        """A running stream of the device."""
        # A device that was found keeps its name; its number may change.
        found = find_device(self._wanted if self.device is None else self.device.name, list_devices(self._card))
        rates = (self._wanted_rate,) if self._wanted_rate else dict.fromkeys((found.rate, *_USUAL_RATES))
        channels = dict.fromkeys((1, min(2, found.channels), found.channels))
        refused: BaseException | None = None
        for rate in rates:
            for n_channels in channels:
                try:
                    stream = self._start(found, rate, n_channels)
                except (self._card.PortAudioError, ValueError) as error:
                    refused = refused or error
                else:
                    self.device, self.rate = found, rate
                    return stream
        remedy = "leave the rate to the device" if self._wanted_rate else "is another program using it?"
        raise DeviceError(f"microphone {found.title} can't be opened ({one_line(refused or OSError())}); {remedy}")

    def _start(self, found: Device, rate: float, channels: int) -> Any:
        self._last_heard_s, self._heard_since_opened = time.monotonic(), False
        self._after_gap = self._started.is_set()
        stream = self._card.InputStream(
            device=found.index,
            samplerate=rate,
            channels=channels,
            dtype="float32",
            blocksize=round(rate * BLOCK_S),
            latency="high",
            callback=lambda samples, _frames, _time, status: self._take(samples, rate, status),
        )
        try:
            stream.start()
        except BaseException:
            stream.close(ignore_errors=True)
            raise
        return stream

    def _take(self, samples: NDArray[np.float32], rate: float, status: Any) -> None:
        """The callback: in PortAudio's thread, so nothing here waits for anyone."""
        self._last_heard_s, self._heard_since_opened = time.monotonic(), True
        if status and status.input_overflow:
            self._overflows += 1
        if self._queue.qsize() >= self._most_waiting:
            self._dropped_blocks += 1
            return
        # A copy: PortAudio uses the memory again.
        self._queue.put(Block(samples.copy(), rate, self._after_gap))
        self._after_gap = False

    def _watch(self, stream: Any) -> None:
        """Return when the device has gone away, or at the end."""
        while not self._stop.wait(_WATCH_S):
            quiet_s = time.monotonic() - self._last_heard_s
            if not stream.active:
                self._state, self._trouble = "lost", f"microphone {self.title} went away; waiting for it"
                return
            if quiet_s > (self._stalled_s if self._heard_since_opened else self._reopen_s):
                self._state = "silent"
                self._trouble = (
                    f"no sound comes from {self.title}; is it suspended or used by another program? opening it anew"
                )
            elif self._heard_since_opened:
                self._state, self._trouble, self._patience = "listening", "", 1
            if quiet_s > self._reopen_s * self._patience:
                # Opened anew all too soon, a slow device would never get to its first block.
                self._patience = min(_MOST_PATIENT, 2 * self._patience)
                return

    def _abandon(self, stream: Any) -> None:
        with suppress(self._card.PortAudioError):  # of a device that is no longer there
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def _restart_portaudio(self) -> None:
        """PortAudio looks for devices only when it starts."""
        self.reopened += 1
        with suppress(self._card.PortAudioError):  # not started, since it failed to last time
            self._card._terminate()
        try:
            self._card._initialize()
        except self._card.PortAudioError as error:
            self._state, self._trouble = "lost", f"PortAudio doesn't start ({one_line(error)}); trying again"


class FileInput:
    """A sound file in the place of a microphone, played in real time."""

    overruns = 0
    trouble = ""

    def __init__(
        self,
        path: str | Path,
        rate: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the file.

        Args:
            path: see :func:`speech_rnn.audio.read_audio`.
            rate: what its samples are given at, in Hz.
            clock: seconds that go on.
            sleep: waits for some of them.

        Raises:
            AudioError: the file isn't the sound it should be; damage in its middle when :meth:`read` gets there.
        """
        self.title = repr(plain(str(path), 60))
        self.rate = rate
        self.state: State = "listening"
        self._clock, self._sleep = clock, sleep
        self._blocks = _read_ahead(read_blocks(path, rate, BLOCK_S))
        self._next = next(self._blocks)
        self._n_given = 0
        self._start_s: float | None = None

    def read(self, wait_s: float = 0.5) -> Block | None:
        """The next 20 ms, when they have been spoken; an empty block where that is later than ``wait_s`` from now."""
        if self._next is None:
            self.state = "ended"
            return None
        now = self._clock()
        self._start_s = now if self._start_s is None else self._start_s
        due_in_s = self._start_s + (self._n_given + len(self._next)) / self.rate - now
        if due_in_s > 0:
            self._sleep(min(due_in_s, wait_s))
        if due_in_s > wait_s:
            return Block(np.zeros(0, np.float32), self.rate)
        block, self._next = self._next, next(self._blocks)
        self._n_given += len(block)
        return Block(block, self.rate)


def _read_ahead(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32] | None]:
    yield from blocks
    while True:
        yield None
