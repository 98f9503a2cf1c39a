"""Sounds of mel spectrograms, by a model that is told them, and by the method of Griffin and Lim.

`python examples/audio_vocode.py [key=value ...]` trains for some minutes; `... RUN` takes a run of task=vocode.
"""

import sys
from pathlib import Path

import polydiff
from polydiff.domains.audio.tasks.mel import write_mel
from polydiff.model.restore import read_degraded, restore, to_samples

given_run, words = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
task = {"task": "vocode", **words}
run = polydiff.train("audio", "runs/example-vocode", overrides=task) if words or not given_run else Path(given_run[0])
model = polydiff.load(run)

(sound,) = model.domain.examples("test", 1).examples
mel, path = model.domain.task.mel, Path(run, "string.mel.npz")  # the definition is the checkpoint's
write_mel(path, mel, mel(sound[None])[0], length=sound.shape[-1])
given = read_degraded(model, [path])  # a sound file will do as well
for name, sounds in {"made": restore(model, given), "griffin-lim": to_samples(model, given.x, given, None)}.items():
    model.domain.save(sounds, Path(run, "vocoded", name))
print(f"The sounds are in {run}/vocoded")
