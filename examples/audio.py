"""Plucked strings: train a model, sample a scale, and measure pitch accuracy against the number of sampling steps.

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
    accuracy = result["metrics"]["pitch_accuracy"]
    print(f"{steps} steps: pitch accuracy {accuracy['value']:.3f} (real data {accuracy['data']:.3f})")
print(f"The scale is in {run}/scale, the report is {polydiff.write_report(run)}")
