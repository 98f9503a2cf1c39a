"""TensorBoard: event files, written as TensorBoard's own library writes them.

A session writes one file, whose name has the session's number, so that sessions are read in their order. The file of a
resumed run begins with an event SessionLog.START: TensorBoard then forgets the steps after the checkpoint, which the
session does once more.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.tracking.tracker import PICTURES, SOUNDS, Tracked, text_of

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

PNG, RIFF = b"\x89PNG", b"RIFF"
VERSION = "brain.Event:2"
"""Version of the format of event files."""


class Tracking:
    """Event files of a run.

    Arguments:
        run: The run.
        folder: Folder of the files; "": tensorboard/ in the run's folder. A folder of its own for each run.
    """

    def __init__(self, run: Tracked, folder: str = "") -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        place = Path(folder) if folder else run.path / "tensorboard"
        place.mkdir(parents=True, exist_ok=True)
        number = 1 + len(list(place.glob("events.out.tfevents.*")))
        self.file = RecordWriter((place / f"events.out.tfevents.{number:010d}.polydiff").open("xb"))
        self.write(0, file_version=VERSION)
        if run.step:
            self.write(run.step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, **content: Any) -> None:
        """Append one event."""
        from tensorboard.compat.proto.event_pb2 import Event

        event: Event = Event(wall_time=time.time(), step=step, **content)
        self.file.write(event.SerializeToString())
        self.file.flush()

    def summary(self, step: int, values: Sequence[Any]) -> None:
        """Append one event with values of a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.write(step, summary=Summary(value=values))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.summary(step, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def samples(self, step: int, name: str, files: Sequence[Path]) -> None:
        values = [sample_value(f"{name}/{i}", path) for i, path in enumerate(files)]
        self.summary(step, [value for value in values if value is not None])

    def close(self) -> None:
        self.file.close()


def sample_value(tag: str, path: Path) -> Summary.Value | None:
    """Return a file as a picture, a sound or a text under a tag; None if it is none of these."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    suffix = path.suffix.lower()
    if suffix in PICTURES:
        data = path.read_bytes()
        width, height = png_size(data)
        return Summary.Value(tag=tag, image=Summary.Image(width=width, height=height, encoded_image_string=data))
    if suffix in SOUNDS:
        data = path.read_bytes()
        rate, channels, frames = wav_facts(data)
        sound = Summary.Audio(
            sample_rate=rate,
            num_channels=channels,
            length_frames=frames,
            encoded_audio_string=data,
            content_type=f"audio/{suffix[1:]}",
        )
        return Summary.Value(tag=tag, audio=sound)
    text = text_of(path)
    return None if text is None else text_value(tag, text)


def text_value(tag: str, text: str) -> Summary.Value:
    """Return a text under a tag, as a block of code, since the page reads texts as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    indented = "\n".join(f"    {line}" for line in text.splitlines())
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[indented.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag, tensor=tensor, metadata=metadata)


def png_size(data: bytes) -> tuple[int, int]:
    """Return the width and height in the header of a .png file; (0, 0), which stands for "not known", of others."""
    if not data.startswith(PNG) or len(data) < 24:
        return 0, 0
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def wav_facts(data: bytes) -> tuple[float, int, int]:
    """Return the sample rate, channels and frames in the header of a .wav file; zeros, "not known", of others."""
    if not data.startswith(RIFF):
        return 0.0, 0, 0
    at, width, rate, channels = 12, 1, 0, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        if name == b"fmt ":
            channels, rate = struct.unpack("<HI", data[at + 10 : at + 16])
            width = struct.unpack("<H", data[at + 20 : at + 22])[0]
        if name == b"data":
            return float(rate), channels, min(size, len(data) - at - 8) // max(width, 1)
        at += 8 + size + size % 2
    return float(rate), channels, 0
