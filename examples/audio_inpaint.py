"""Fill gaps in plucked strings and continue them, with a model that is conditioned on the known part.

`python examples/audio_inpaint.py [key=value ...]` trains for some minutes; `... RUN` uses a run of task=inpaint.
"""

import sys
from pathlib import Path

import polydiff
from polydiff import streams

given_run, overrides = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
if overrides or not given_run:
    run = polydiff.train("audio", "runs/example-inpaint", overrides={"task": "inpaint", **overrides})
else:
    run = Path(given_run[0])
model = polydiff.load(run)

sounds = model.domain.batch("test", range(4), streams(0, "augment", range(4)))  # or polydiff.read(model, ["my.wav"])
for name, part in {"gap": "0.2:0.3", "rest": "0.15:"}.items():
    unknown = model.domain.region(part, sounds)
    filled = polydiff.inpaint(model, sounds, ~unknown, guidance=1.0)
    harmonised = polydiff.inpaint(model, sounds, ~unknown, guidance=1.0, resample=4)  # RePaint: four times the cost
    for method, result in {"once": filled, "resampled": harmonised}.items():
        model.domain.save(result, Path(run, "inpainted", f"{name}-{method}"))
print(f"The sounds are in {run}/inpainted")
