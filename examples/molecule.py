"""Small organic molecules: train, sample with two values of a property, and measure it on the samples.

`python examples/molecule.py [key=value ...]`
"""

import sys
from pathlib import Path

import polydiff

run = polydiff.train("molecule", "runs/example-molecule", overrides=dict(arg.split("=", 1) for arg in sys.argv[1:]))
model = polydiff.load(run)

for logp in (-1, 1):
    samples = model.sample(32, seed=1, cond={"logp": logp}, guidance=1.5)
    model.domain.save(samples, Path(run, f"logp={logp}"))
    for name, metric in model.domain.evaluate(samples).items():
        print(f"conditioned on logp {logp}: {name} {metric.value:.4g} {metric.unit}".rstrip())
print(f"Files are in {run}, the report is {polydiff.write_report(run)}")
