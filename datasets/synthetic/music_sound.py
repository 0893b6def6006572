"""Synthetic music: what a style plays, and how it sounds when a certain artist plays it.

A style composes (tempo, patterns of drums and notes, scale, chords); a sound performs (register,
tuning, vibrato, formants, balance of overtones, tuning of the drums). The effects, distortion, echo
and low-pass filter, belong to the style. Pitches are MIDI numbers (69 is 440 Hz), times seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, iirpeak, lfilter, sosfilt

from datasets.synthetic.music_styles import Style

RATE = 22_050  # Hz
DRUMS = ("kick", "snare", "hat")
PITCHED = {"bass": 36.0, "comp": 57.0, "lead": 69.0}  # part -> MIDI number of its tonic
RANGE = 6  # the lead keeps within so many degrees of the scale around its tonic
LEAP = 3  # degrees of the scale between two of its notes, at most
OMITTED = 0.06  # share of the strokes that a performance leaves out
OPTIONAL = 0.5  # and of those that the pattern leaves open
SHORTEST = 0.02  # seconds before the end after which no note begins
RELEASE = 256  # samples, in which a note ends that the next one follows
TABLE = 4096  # samples of one cycle
BALANCE = 3.5  # dB, standard deviation of each part's level between tracks
SPLIT = 900.0  # Hz, below and above which the tilt lifts and lowers
SHARPNESS = 2.5  # Hz of a formant over its width
SILENT = 1e-6  # a root mean square that is none


@dataclass(frozen=True)
class Sound:
    """How an artist sounds, whatever the style.

    Attributes:
        register: semitones above the usual pitch.
        cents: by which everything is tuned sharp.
        spread: cents between the two voices of the lead.
        vibrato, depth: Hz and cents.
        formants: Hz of two resonances.
        resonance: their gain, dB.
        slope, even: factors on those of the style.
        attack: factor on the time in which a note rises.
        kit: factor on the pitch of the drums.
        tilt: dB by which what lies above SPLIT is lifted, and what lies below lowered.
        floor: dB of noise below the music.
    """

    register: float
    cents: float
    spread: float
    vibrato: float
    depth: float
    formants: tuple[float, float]
    resonance: float
    slope: float
    even: float
    attack: float
    kit: float
    tilt: float
    floor: float


@dataclass(frozen=True)
class Notes:
    """A part: when each note begins (n,), its pitches (n, voices) and its loudness (n,)."""

    starts: np.ndarray
    pitches: np.ndarray
    gains: np.ndarray


@dataclass(frozen=True)
class Score:
    """A piece of music: its tempo (beats per minute) and the notes of each part that has any.

    The pitches of drums have no voices: (n, 0).
    """

    tempo: float
    parts: dict[str, Notes]


def compose(style: Style, seconds: float, rng: np.random.Generator) -> Score:
    """Write a piece in a style, from the first beat of a bar on."""
    tempo = rng.uniform(*style.tempo)
    bar = style.beats * 60 / tempo
    bars = math.ceil(seconds / bar)
    key = rng.integers(-3, 4)
    roots = np.resize(np.roll(style.chords, rng.integers(len(style.chords))), bars)
    parts = {}
    for name in (*DRUMS, *PITCHED):
        pattern = getattr(style, name)
        if not pattern:
            continue
        places, steps = _strokes(pattern, bars, rng)
        late = np.interp(places * style.beats % 1, [0, 0.5, 1], [0, 0.5 + style.swing, 1])
        starts = (np.floor(places * style.beats) + late) * bar / style.beats
        heard = starts < seconds - SHORTEST
        if not heard.any():
            continue
        starts, steps, at = starts[heard], steps[heard], places[heard].astype(int)
        degrees = _degrees(name, style, roots[at], np.array(list(pattern))[steps], rng)
        pitches = PITCHED.get(name, 0.0) + key + _semitones(degrees, style.scale)
        parts[name] = Notes(starts, pitches, rng.uniform(0.6, 1, len(starts)))
    return Score(tempo, parts)


def _strokes(pattern: str, bars: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """When the strokes of a pattern are played, in bars, and the step of the bar of each."""
    played = {"x": 1 - OMITTED, "o": OPTIONAL} | {digit: 1 - OMITTED for digit in "0123456789"}
    share = np.array([played.get(step, 0.0) for step in pattern])
    chosen = rng.random((bars, len(pattern))) < share
    chosen[0, np.argmax(share > 0)] = True  # the bass comes first: even a short track has a note
    bar, step = np.nonzero(chosen)
    return bar + step / len(pattern), step


def _degrees(part: str, style: Style, roots: np.ndarray, steps: np.ndarray, rng) -> np.ndarray:
    """Degrees of the scale that sound at each stroke, (strokes, voices)."""
    if part in DRUMS:
        return np.zeros((len(roots), 0), int)
    if part == "bass":
        return (roots + steps.astype(int))[:, None]
    if part == "comp":
        return roots[:, None] + np.array(style.voicing)
    walk = rng.integers(-RANGE, RANGE + 1) + np.cumsum(rng.integers(-LEAP, LEAP + 1, len(roots)))
    # Reflected where it would leave the range.
    folded = np.abs((walk + RANGE) % (4 * RANGE) - 2 * RANGE) - RANGE
    return folded[:, None]


def _semitones(degrees: np.ndarray, scale: tuple[int, ...]) -> np.ndarray:
    octave, step = np.divmod(degrees, len(scale))
    return 12 * octave + np.array(scale)[step]


def perform(
    score: Score, style: Style, sound: Sound, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Play a piece: the waveform, (samples,) float32 at RATE, peak below 1."""
    samples = round(seconds * RATE)
    sway = _sway(sound, samples, rng)
    levels = np.array(style.levels) + rng.normal(0, BALANCE, 4)
    drums, bass, comp, lead = (10 ** (levels / 20)).tolist()
    shapes = {"bass": (0.008, 0.35), "comp": style.comp_shape, "lead": style.lead_shape}
    voices = {
        name: _pitched(score.parts[name], shapes[name], style, sound, sway)
        if name in score.parts
        else np.zeros(samples, np.float32)
        for name in PITCHED
    }
    band = comp * _level(voices["comp"]) + lead * _level(voices["lead"])
    if style.drive:
        band = _level(np.tanh(style.drive * _level(band))) * math.hypot(comp, lead)
    cutoff = style.cutoff * math.exp(rng.normal(0, 0.15))
    band = _coloured(band + bass * _level(voices["bass"]), sound, cutoff)
    delay, returned = style.echo
    band = _echoed(band, round(delay * 60 / score.tempo * RATE), returned)
    music = _level(band) + drums * _level(_drummed(score, style, sound, samples, rng))
    music = _tilted(music, sound.tilt + rng.normal(0, 1))
    noise = 10 ** (sound.floor / 20) * rng.standard_normal(samples, np.float32)
    return _normalised(_level(music) + noise, rng)


def _level(wave: np.ndarray) -> np.ndarray:
    """A waveform at a root mean square of 1; silence stays silent."""
    power = math.sqrt(np.dot(wave, wave) / len(wave))
    return wave / power if power > SILENT else wave


def _normalised(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    peak = 10 ** (-rng.uniform(0.5, 8) / 20)
    return wave * np.float32(peak / np.abs(wave).max())


def _sway(sound: Sound, samples: int, rng: np.random.Generator) -> np.ndarray:
    """By how many seconds vibrato lets a voice lead or lag, (samples,) float32."""
    turn = 2 * np.pi * sound.vibrato
    extent = math.log(2) * sound.depth / 1200 / turn
    time = np.arange(samples, dtype=np.float32) / RATE
    return extent * np.sin(np.float32(turn) * time + np.float32(rng.uniform(0, 2 * np.pi)))


def _cycle(style: Style, sound: Sound, highest: float) -> np.ndarray:
    """One cycle of a voice, (TABLE,) float32, with the overtones that RATE can hold."""
    number = np.arange(1, max(2, int(0.45 * RATE / highest)))
    amplitude = number ** -(style.slope * sound.slope)
    amplitude[1::2] *= style.even * sound.even
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    # Phases that grow quadratically spread the energy over the cycle (Schroeder 1970).
    spectrum[number] = amplitude * np.exp(1j * np.pi * number**2 / len(number))
    return np.fft.irfft(spectrum, TABLE).astype(np.float32)


def _pitched(notes: Notes, shape, style: Style, sound: Sound, sway: np.ndarray) -> np.ndarray:
    """The waveform of a part whose notes end where the next one begins, (samples,) float32."""
    tuned = notes.pitches + sound.register + sound.cents / 100
    if tuned.shape[1] == 1:
        tuned = tuned + np.array([-0.5, 0.5]) * sound.spread / 100
    hertz = 440 * 2 ** ((tuned - 69) / 12)
    cycle = _cycle(style, sound, hertz.max()) / np.float32(hertz.shape[1])
    bounds = np.append(np.round(notes.starts * RATE).astype(int), len(sway))
    lengths = np.diff(bounds)
    time = np.arange(lengths.max()) / RATE
    envelope, fade = _envelope(time.astype(np.float32), shape, sound), np.linspace(1, 0, RELEASE)
    wave = np.zeros(len(sway), np.float32)
    # Note by note: so short an array stays in the processor's cache.
    for start, length, voices, gain in zip(bounds, lengths, hertz, notes.gains, strict=False):
        note = wave[start : start + length]
        warped = time[:length] + sway[start : start + length]
        for voice in voices:
            note += cycle[(voice * TABLE * warped).astype(np.int32) & (TABLE - 1)]
        note *= np.float32(gain) * envelope[:length]
        note[-RELEASE:] *= fade[-length:]
    return wave


def _envelope(time: np.ndarray, shape: tuple[float, float], sound: Sound) -> np.ndarray:
    """How loud a note is after so many seconds."""
    attack, decay = shape
    return (1 - np.exp(-3 / (attack * sound.attack) * time)) * np.exp(-time / decay)


def _coloured(wave: np.ndarray, sound: Sound, cutoff: float) -> np.ndarray:
    """Lift the formants of the artist, and take away what lies above the cutoff (Hz)."""
    gain = 10 ** (sound.resonance / 20) - 1
    sections = [butter(2, min(cutoff, 0.45 * RATE), output="sos", fs=RATE)[0]]
    for hertz in sound.formants:
        b, a = iirpeak(hertz, SHARPNESS, fs=RATE)
        sections.append(np.concatenate([a + gain * b, a]))
    return sosfilt(np.stack(sections).astype(np.float32), wave)


def _tilted(wave: np.ndarray, decibels: float) -> np.ndarray:
    b, a = butter(1, SPLIT, fs=RATE)
    up = 10 ** (decibels / 20)
    return lfilter((up * a + (1 / up - up) * b).astype(np.float32), a.astype(np.float32), wave)


def _echoed(wave: np.ndarray, delay: int, returned: float) -> np.ndarray:
    """What is heard, and again every `delay` samples, each time weaker."""
    if not returned:
        return wave
    wave = wave.copy()
    for start in range(delay, len(wave), delay):
        block = wave[start : start + delay]
        block += np.float32(returned) * wave[start - delay : start - delay + len(block)]
    return wave


def _drummed(score: Score, style: Style, sound: Sound, samples: int, rng) -> np.ndarray:
    """The drums, (samples,) float32."""
    kit = _kit(sound.kit, style.ring, rng)
    longest = max(len(stroke) for stroke in kit.values())
    wave = np.zeros(samples + longest, np.float32)
    for name, stroke in kit.items():
        if name not in score.parts:
            continue
        notes = score.parts[name]
        for start, gain in zip(np.round(notes.starts * RATE).astype(int), notes.gains, strict=True):
            wave[start : start + len(stroke)] += np.float32(gain) * stroke
    return wave[:samples]


def _kit(pitch: float, ring: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One stroke of each drum, (samples,) float32."""
    time = np.arange(round(0.3 * ring * RATE)) / RATE
    noise = rng.standard_normal(len(time))
    sweep = 48 * pitch * time + 60 * pitch * 0.03 * (1 - np.exp(-time / 0.03))
    rattle = sosfilt(butter(2, [900 * pitch, 3600 * pitch], "band", output="sos", fs=RATE), noise)
    hiss = sosfilt(butter(4, min(6500 * pitch, 0.42 * RATE), "high", output="sos", fs=RATE), noise)
    strokes = {
        "kick": 1.4 * np.sin(2 * np.pi * sweep) * np.exp(-time / (0.1 * ring)),
        "snare": (rattle + 0.5 * np.sin(2 * np.pi * 185 * pitch * time))
        * np.exp(-time / (0.06 * ring)),
        "hat": 0.6 * hiss * np.exp(-time / (0.022 * ring)),
    }
    return {name: stroke.astype(np.float32) for name, stroke in strokes.items()}
