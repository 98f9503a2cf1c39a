"""Plucked strings: train, play a scale, listen to the same noise at more sampling steps.

`python examples/audio.py [key=value ...]`
"""

import sys
from pathlib import Path

import polydiff

run = polydiff.train("audio", "runs/example-audio", overrides=dict(word.split("=", 1) for word in sys.argv[1:]))
model = polydiff.load(run)

for note in ("C4", "D4", "E4", "F4", "G4", "A4", "B4"):
    model.domain.save(model.sample(1, seed=1, cond={"pitch": note}), Path(run, "scale", note))

for steps in (5, 10, 20, 40):
    result = polydiff.evaluate(model, n=64, steps=steps)
    heard = result["metrics"]["pitch_accuracy"]
    print(f"{steps} steps: {heard['value']:.3f} of the notes are heard as asked (real data {heard['data']:.3f})")
print(f"The scale is in {run}/scale, the report is {polydiff.write_report(run)}")
