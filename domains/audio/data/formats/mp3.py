"""MP3 files whose length libsndfile would get wrong, and a header frame that corrects it.

libsndfile takes the length of an MP3 file from its Xing header; without one, from the size of the first frame. In a
file of variable bit rate without a header, or in several files joined into one, this is wrong, and libsndfile stops
there. `right_header` counts the frames and returns a Xing header for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

SLACK = 2
"""Number of frames beyond those that a header states that is no error; encoders count their padding differently."""
NEAR = 2**16
"""Bytes after the tags among which the first frame begins; later ones are chance, in a file of another format."""
KBITS = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""(bits of the version, of the layer) -> bit rates in 1000 bits a second; MPEG 2.5 has those of MPEG 2."""
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Bits of the version (3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5) -> sample rates in Hz."""


class Frame(NamedTuple):
    """A frame's size in bytes, the version and sample rate that all frames of a file share, and its side information.

    `side` is the number of bytes between the frame's header and a Xing header in it.
    """

    size: int
    kind: tuple[int, int]
    side: int

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return 1152 if self.kind[0] == 3 else 576


@lru_cache(maxsize=4096)
def frame_of(header: bytes) -> Frame | None:
    """Return the frame of layer III that begins with these four bytes, None if they are no header of one."""
    word = int.from_bytes(header)
    version, layer, bits, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if len(header) < 4 or word >> 21 != 0x7FF or version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
        return None
    hertz = RATES[version][rate]
    kbits = KBITS[3 if version == 3 else 2, 1][bits - 1]
    size = (144 if version == 3 else 72) * 1000 * kbits // hertz + (word >> 9 & 1)
    mono = word >> 6 & 3 == 3
    return Frame(size, (version, hertz), (17 if mono else 32) if version == 3 else 9 if mono else 17)


def right_header(data: bytes, claimed: Callable[[], int]) -> tuple[bytes, int] | None:
    """Return a header frame with the number of frames of an MP3 file, and where its first frame of sound begins.

    Arguments:
        data: The file.
        claimed: Returns the number of samples that libsndfile expects; called only if no header states it.

    Returns:
        None if the file is no MP3, or libsndfile gets its length right. A file with fewer frames than its header states
        is truncated; it has no right header either.
    """
    at = first_frame(data)
    first = frame_of(data[at : at + 4]) if at is not None else None
    if at is None or first is None:
        return None
    stated, is_header = stated_frames(data, at, first)
    begin = at + first.size if is_header else at
    counted = count(data, begin, first)
    wrong = counted * first.samples != claimed() if stated is None else counted - stated > SLACK
    return (header_frame(data[begin : begin + 4], counted), begin) if wrong and counted else None


def first_frame(data: bytes) -> int | None:
    """Return where the first frame begins, after ID3 tags; None if there is none."""
    at = 0
    while data[at : at + 3] == b"ID3":
        size = data[at + 6 : at + 10]
        at += 10 + sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(size))
    found = next_frame(data, at, None)
    return found if found is not None and found - at < NEAR else None


def next_frame(data: bytes, at: int, kind: tuple[int, int] | None) -> int | None:
    """Return where the next frame begins, from `at` on, that is followed by one of its kind or by the end of the data.

    Arguments:
        data: The file.
        at: First byte to look at.
        kind: Kind of the frame; None: any.
    """
    at = data.find(b"\xff", at)
    while at >= 0:
        frame = frame_of(data[at : at + 4])
        if frame is not None and kind in (None, frame.kind):
            after = frame_of(data[at + frame.size : at + frame.size + 4])
            if at + frame.size == len(data) or (after is not None and after.kind == frame.kind):
                return at
        at = data.find(b"\xff", at + 1)
    return None


def stated_frames(data: bytes, at: int, first: Frame) -> tuple[int | None, bool]:
    """Return the number of frames that a Xing header states, and whether the first frame is a header (Xing or VBRI)."""
    for place in (at + 4 + first.side, at + 6 + first.side):  # two bytes later if a checksum follows the frame's header
        if data[place : place + 4] in (b"Xing", b"Info"):
            known = int.from_bytes(data[place + 4 : place + 8]) & 1
            return (int.from_bytes(data[place + 8 : place + 12]) if known else None), True
    return None, data[at + 36 : at + 40] == b"VBRI"


def count(data: bytes, at: int, first: Frame) -> int:
    """Return the number of complete frames from `at` on; what is between frames and after them is skipped."""
    found, place = 0, next_frame(data, at, first.kind)
    while place is not None:
        frame = frame_of(data[place : place + 4])
        if frame is None or frame.kind != first.kind:
            place = next_frame(data, place + 1, first.kind)
        elif place + frame.size <= len(data):
            found, place = found + 1, place + frame.size
        else:
            place = None
    return found


def header_frame(header: bytes, frames: int) -> bytes:
    """Return a frame with a Xing header that states a number of frames, of the kind of a frame's four-byte header."""
    word = int.from_bytes(header) & ~0xF200 | 0x15000  # bit rate 5, which has room for it; no padding, no checksum
    opening = word.to_bytes(4)
    frame = frame_of(opening)
    assert frame is not None
    content = bytes(frame.side) + b"Xing" + (1).to_bytes(4) + frames.to_bytes(4)
    return opening + content + bytes(frame.size - 4 - len(content))
