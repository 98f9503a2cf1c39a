"""What a model learned: one page, and numbers of its views. `python examples/look.py [RUN | key=value ...]`

With RUN, such as runs/image-001, of any domain; otherwise a short training on handwritten digits comes first.
"""

import sys
from pathlib import Path

import polydiff

words = sys.argv[1:]
if words and "=" not in words[0]:
    run = Path(words[0])
else:
    run = Path(polydiff.train("image", "runs/example-look", overrides=dict(word.split("=", 1) for word in words)))
found = polydiff.look(polydiff.load(run))

one_step = found.numbers["one_step"]
print("noise  error of one estimate, relative to that of the mean")
for level, error in zip(one_step["levels"], one_step["relative_error"], strict=True):
    print(f"{level:5.2f}  {error:.2f}")
for name, effects in found.numbers.get("sensitivity", {}).get("effects", {}).items():
    print(f"withholding {name} changes the estimate most, by {max(effects):.2f} of the spread of the data")
for name, layers in found.numbers.get("probe", {}).get("scores", {}).items():
    best = max(layers, key=lambda layer: max(score or 0 for score in layers[layer]))
    print(f"{name} is read best from {best}: {max(score or 0 for score in layers[best]):.2f}")
for one in found.missing:
    print(f"not shown: {one.title}. {one.reason}")
print(found.save(run / "look.html", run.name))
