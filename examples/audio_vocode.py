"""Restore sounds from mel spectrograms, with a model conditioned on them and with the method of Griffin and Lim.

`python examples/audio_vocode.py [key=value ...]` trains for some minutes; `... RUN` uses a run of task=vocode.
"""

import sys
from pathlib import Path

import polydiff
from polydiff.domains.audio.tasks.mel import write_mel
from polydiff.model.restore import read_degraded, restore, to_samples

given_run, overrides = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
task = {"task": "vocode", **overrides}
run = (
    polydiff.train("audio", "runs/example-vocode", overrides=task) if overrides or not given_run else Path(given_run[0])
)
model = polydiff.load(run)

(sound,) = model.domain.examples("test", 1).examples
mel, path = model.domain.task.mel, Path(run, "string.mel.npz")  # the definition in the checkpoint
write_mel(path, mel, mel(sound[None])[0], length=sound.shape[-1])
given = read_degraded(model, [path])  # sound files are read too
for name, sounds in {"made": restore(model, given), "griffin-lim": to_samples(model, given.x, given, None)}.items():
    model.domain.save(sounds, Path(run, "vocoded", name))
print(f"The sounds are in {run}/vocoded")
