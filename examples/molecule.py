"""Small organic molecules: train, ask for two values of a property, see which one the samples have.

`python examples/molecule.py [key=value ...]`
"""

import sys
from pathlib import Path

import polydiff

run = polydiff.train("molecule", "runs/example-molecule", overrides=dict(word.split("=", 1) for word in sys.argv[1:]))
model = polydiff.load(run)

for logp in (-1, 1):
    requested = model.sample(32, seed=1, cond={"logp": logp}, guidance=1.5)
    model.domain.save(requested, Path(run, f"logp={logp}"))
    for name, metric in model.domain.evaluate(requested).items():
        print(f"asked for logp {logp}: {name} {metric.value:.4g} {metric.unit}".rstrip())
print(f"Files are in {run}, the report is {polydiff.write_report(run)}")
