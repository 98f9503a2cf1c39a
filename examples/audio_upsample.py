"""Upsample recordings from 8 to 16 kHz with a model that is conditioned on them.

`python examples/audio_upsample.py [key=value ...]` trains for some minutes; `... RUN` uses a run of task=upsample.
"""

import sys
from pathlib import Path

import polydiff
from polydiff.model.restore import degrade_held_out, restore, to_samples

given_run, overrides = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
task = {"task": "upsample", "data.sample_rate": 16000, **overrides}
run = (
    polydiff.train("audio", "runs/example-upsample", overrides=task)
    if overrides or not given_run
    else Path(given_run[0])
)
model = polydiff.load(run)

# for your own files: low = polydiff.model.restore.read_degraded(model, ["recording-at-8-khz.wav"])
low, truth = degrade_held_out(model, range(4))
made = restore(model, low, guidance=1.0)
for name, sounds in {"made": made, "low": to_samples(model, low.x, low, low.cond)}.items():
    model.domain.save(sounds, Path(run, "upsampled", name))

for name, row in polydiff.evaluate(model, n=64, guidance=1.0)["metrics"].items():
    if name.startswith("lsd"):
        print(f"{name}: model {row['value']:.2f}, interpolation {row['baseline']:.2f}")
print(f"The sounds are in {run}/upsampled")
