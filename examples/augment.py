"""Does synthetic data help? Train on few digits, write a data set of samples, and train classifiers with and without.

`python examples/augment.py [key=value ...]`; with data.per_class=20, on 20 real digits of each class.
"""

import sys
from pathlib import Path

import polydiff
from polydiff.augmenting.judge import Generated, judge
from polydiff.metrics.standard_error import mean

given = dict(word.split("=", 1) for word in sys.argv[1:])
overrides = {"data.per_class": 20, "train.steps": 800, **given}
run = polydiff.train("image", "runs/example-augment", overrides=overrides)
model = polydiff.load(run)

folder = polydiff.augment(model, Path(run, "more"), per_class=20)
print(f"Train on it with data.path={folder} data.size=8 data.channels=1")

result = judge([int(overrides["data.per_class"])], [Generated(run.name, model, folder)])[0]
for name, values in result.scores.items():
    value, error = mean(values)
    print(f"{name}: {value:.3f} ± {error:.3f}")
print(f"{result.measure}: {result.verdict}")
