"""Synthetic music: the styles of eight genres and of their sub-genres."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Style:
    """What is played, and through which effects.

    A pattern is one bar, cut into as many equal steps as it has characters. Of drums, comp and
    lead, `x` is a stroke, `o` one that is played or not, and anything else a rest; of the bass, a
    digit is a note so many degrees above the root of the chord.

    Attributes:
        tempo: beats per minute, from and to.
        scale: semitones above the tonic.
        chords: degree of the scale on which the chord of each bar stands.
        voicing: degrees above it that sound together.
        beats: of a bar.
        kick, snare, hat, bass, comp, lead: patterns; '' where there is no such part.
        swing: by how much of a beat its second half comes late.
        slope: the amplitude of overtone k is k ** -slope.
        even: amplitude of the even overtones beside the odd ones.
        comp_shape, lead_shape: seconds in which a note rises, and in which it decays.
        ring: length of the strokes of the drums, 1 for dry.
        levels: dB of drums, bass, comp and lead.
        drive: how far comp and lead are driven into distortion, 0 for not at all.
        echo: beats until it returns, and how much of it.
        cutoff: Hz, of the low-pass filter.
    """

    tempo: tuple[float, float]
    scale: tuple[int, ...]
    chords: tuple[int, ...]
    voicing: tuple[int, ...] = (0, 2, 4)
    beats: int = 4
    kick: str = ""
    snare: str = ""
    hat: str = ""
    bass: str = ""
    comp: str = ""
    lead: str = ""
    swing: float = 0.0
    slope: float = 1.0
    even: float = 1.0
    comp_shape: tuple[float, float] = (0.01, 0.4)
    lead_shape: tuple[float, float] = (0.01, 0.4)
    ring: float = 1.0
    levels: tuple[float, float, float, float] = (-3.0, -3.0, -6.0, -3.0)
    drive: float = 0.0
    echo: tuple[float, float] = (0.5, 0.0)
    cutoff: float = 9000.0


MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
DORIAN, LYDIAN, PHRYGIAN = (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 6, 7, 9, 11), (0, 1, 3, 5, 7, 8, 10)
HARMONIC, BLUES, WHOLE = (0, 2, 3, 5, 7, 8, 11), (0, 3, 5, 6, 7, 10), (0, 2, 4, 6, 8, 10)
PENTATONIC = (0, 2, 4, 7, 9)
FIFTHS, SEVENTHS = (0, 4, 7), (0, 2, 4, 6)
GENRES = {
    "ambient": Style(
        tempo=(52, 64),
        scale=LYDIAN,
        chords=(0, 1, 4, 1),
        bass="0.......",
        comp="x...o...",
        lead="o.o.o.o.",
        slope=1.6,
        even=0.6,
        comp_shape=(0.7, 4.0),
        lead_shape=(0.2, 1.2),
        levels=(-60, -9, 0, -7),
        echo=(0.75, 0.55),
        cutoff=3500,
    ),
    "chamber": Style(
        tempo=(96, 132),
        scale=HARMONIC,
        chords=(0, 3, 4, 0),
        beats=3,
        bass="0.4.2.",
        comp="x.....",
        lead="xoxoxo",
        slope=1.1,
        comp_shape=(0.12, 2.0),
        lead_shape=(0.07, 1.2),
        levels=(-60, -6, -7, 0),
        echo=(0.25, 0.25),
        cutoff=6000,
    ),
    "electronic": Style(
        tempo=(124, 140),
        scale=MINOR,
        chords=(0, 5, 3, 6),
        kick="x.x.x.x.",
        snare="....o...o.......",
        hat=".x.x.x.x",
        bass="0.00..0.0.00..07",
        comp="..x...x...x..x..",
        lead="o.o.xoo.o.o.xooo",
        slope=0.9,
        comp_shape=(0.004, 0.12),
        lead_shape=(0.004, 0.15),
        levels=(1, -3, -6, -6),
        echo=(0.75, 0.35),
        cutoff=5000,
    ),
    "folk": Style(
        tempo=(88, 120),
        scale=MAJOR,
        chords=(0, 3, 0, 4),
        hat="o...o...",
        bass="0...4...",
        comp="x.xoxoxo",
        lead="x.oxo.xo",
        slope=1.5,
        comp_shape=(0.004, 0.3),
        lead_shape=(0.01, 0.5),
        levels=(-14, -6, -2, -2),
        cutoff=7000,
    ),
    "hip-hop": Style(
        tempo=(82, 98),
        scale=MINOR,
        chords=(0, 0, 5, 4),
        voicing=SEVENTHS,
        kick="x..o..x...x.....",
        snare="....x.......x..o",
        hat="x.xxx.x.x.xox.xx",
        bass="0..0..0...4.....",
        comp="x.......o.....o.",
        lead="..o..o....o..oo.",
        swing=0.08,
        slope=1.4,
        even=0.8,
        comp_shape=(0.02, 0.9),
        lead_shape=(0.01, 0.3),
        ring=1.3,
        levels=(2, 1, -8, -8),
        cutoff=3800,
    ),
    "jazz": Style(
        tempo=(120, 176),
        scale=DORIAN,
        chords=(1, 4, 0, 5),
        voicing=SEVENTHS,
        kick="o.......",
        snare="...o.o.o",
        hat="x.xxx.xx",
        bass="0.2.4.6.",
        comp="x..o..o.",
        lead="xoxxxoxx",
        swing=0.16,
        slope=1.8,
        even=0.3,
        comp_shape=(0.01, 0.5),
        lead_shape=(0.03, 0.5),
        levels=(-6, -2, -7, 0),
        cutoff=5500,
    ),
    "reggae": Style(
        tempo=(68, 82),
        scale=MAJOR,
        chords=(0, 3, 0, 4),
        kick="....x...",
        snare="....x..o",
        hat="x.xox.xo",
        bass="0..024..4.2.0...",
        comp="..x...x...x...x.",
        lead="..o...oo..o..o..",
        slope=1.0,
        comp_shape=(0.004, 0.08),
        lead_shape=(0.02, 0.4),
        levels=(-2, 1, -3, -8),
        echo=(0.75, 0.3),
        cutoff=5500,
    ),
    "rock": Style(
        tempo=(112, 150),
        scale=BLUES,
        chords=(0, 0, 2, 4),
        voicing=FIFTHS,
        kick="x.o.x.oo",
        snare="..x...x.",
        hat="xxxxxxxx",
        bass="00000000",
        comp="x.xxx.xx",
        lead="o.xoo.xo",
        slope=0.9,
        comp_shape=(0.004, 0.6),
        lead_shape=(0.01, 0.8),
        ring=1.4,
        levels=(-1, -4, -1, -4),
        drive=4.0,
        cutoff=7000,
    ),
}
# Genre -> sub-genre -> what it changes.
SUBGENRES = {
    "ambient": {
        "drone": {"lead": "", "chords": (0,), "cutoff": 2200},
        "bells": {"even": 0.2, "lead": "oxoooxoo", "lead_shape": (0.004, 0.9)},
        "dark ambient": {"scale": PHRYGIAN, "tempo": (44, 54)},
    },
    "chamber": {
        "waltz": {"scale": MAJOR, "tempo": (140, 176), "comp": "..x.x."},
        "elegy": {"tempo": (60, 76), "lead": "x.oox."},
    },
    "electronic": {
        "techno": {"tempo": (132, 146), "chords": (0,), "scale": PHRYGIAN},
        "house": {"tempo": (116, 126), "voicing": SEVENTHS, "snare": "..x...x."},
        "breakbeat": {"tempo": (138, 160), "kick": "x.x.......xx....", "snare": "....x..o.o..x..o"},
    },
    "folk": {
        "ballad": {"tempo": (66, 84), "comp": "xoxoxoxo", "lead": "x...o.x."},
        "jig": {
            "tempo": (110, 130),
            "beats": 2,
            "lead": "xxxxxo",
            "comp": "x..x..",
            "bass": "0..4..",
        },
        "bluegrass": {"scale": PENTATONIC, "tempo": (120, 150), "lead": "xxxxxxxx"},
    },
    "hip-hop": {
        "boom bap": {"swing": 0.12, "scale": DORIAN},
        "trap": {"tempo": (64, 76), "hat": "x.x.xxx.x.x.xxxxx.x.x.x.xxxxx.xx", "swing": 0.0},
    },
    "jazz": {
        "swing": {"tempo": (160, 200)},
        "bossa nova": {"swing": 0.0, "snare": "x..x..x...x..x..", "scale": MAJOR},
        "modal jazz": {"chords": (0, 0, 1, 1), "tempo": (100, 130), "scale": WHOLE},
    },
    "reggae": {
        "dub": {"echo": (0.75, 0.6), "cutoff": 3000, "scale": MINOR},
        "rocksteady": {"tempo": (80, 94), "bass": "0.2.4.2."},
    },
    "rock": {
        "punk": {"tempo": (160, 190), "comp": "xxxxxxxx", "scale": MAJOR},
        "metal": {"drive": 12.0, "kick": "xoxxxoxx", "scale": PHRYGIAN, "cutoff": 6000},
        "indie rock": {"drive": 1.5, "scale": PENTATONIC, "voicing": (0, 2, 4)},
    },
}
LABELS = tuple(sorted(GENRES))


def style_of(genre: str, *subgenres: str) -> Style:
    """The style of a genre, changed as its sub-genres do; where they disagree, the first wins."""
    changes = {}
    for name in reversed(subgenres):
        changes |= SUBGENRES[genre][name]
    return replace(GENRES[genre], **changes)
