"""Vary a sound with different strengths, change its note, and interpolate between two sounds.

`python examples/audio_vary.py [key=value ...]` trains for some minutes; `... RUN` uses an existing run.
"""

import sys
from pathlib import Path

import polydiff
from polydiff import streams

given_run, overrides = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
run = (
    polydiff.train("audio", "runs/example-vary", overrides=overrides)
    if overrides or not given_run
    else Path(given_run[0])
)
model = polydiff.load(run)

a, b = (model.domain.batch("test", [i], streams(0, "augment", [i])) for i in (0, 1))  # or polydiff.read
for strength in (0.2, 0.4, 0.6):
    model.domain.save(polydiff.vary(model, a, strength=strength), Path(run, "varied", f"{strength}"))
model.domain.save(polydiff.vary(model, a, strength=0.7, cond={"pitch": "C4"}), Path(run, "varied", "as C4"))
for share, made in zip((0.25, 0.5, 0.75), polydiff.interpolate(model, a, b, [0.25, 0.5, 0.75], steps=20), strict=True):
    model.domain.save(made, Path(run, "varied", f"{share} of the way"))
print(f"The sounds are in {run}/varied")
