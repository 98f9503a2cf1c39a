"""Handwritten digits: train, sample sevens, evaluate, report. `python examples/image.py [key=value ...]`"""

import sys
from pathlib import Path

import polydiff
from polydiff.judging.result import write_evaluation
from polydiff.run.folder import Run

run = polydiff.train("image", "runs/example-image", overrides=dict(word.split("=", 1) for word in sys.argv[1:]))
model = polydiff.load(run)

sevens = model.sample(16, seed=1, cond={"label": 7})
model.domain.save(sevens, Path(run, "sevens"))
print(f"16 sevens, each {tuple(sevens.examples[0].shape)}, in {run}/sevens")

result = polydiff.evaluate(model, n=500)
write_evaluation(Run(run), result)
for name, metric in result["metrics"].items():
    print(f"{name}: {metric['value']:.4g} (real data {metric['data']:.4g}, noise {metric['noise']:.4g})")
print(polydiff.write_report(run))
