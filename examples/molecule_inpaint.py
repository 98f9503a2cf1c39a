"""Scaffolds kept and fragments grown, by any model of molecules.

`python examples/molecule_inpaint.py [key=value ...]` trains for some minutes; `... RUN` takes a run of yours.
"""

import sys
from pathlib import Path

import polydiff
from polydiff import streams
from polydiff.contract.domain import Samples

given_run, words = sys.argv[1:2], dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
run = Path(given_run[0]) if given_run and not words else Path("runs/example-molecule-inpaint")
if words or not given_run:
    polydiff.train("molecule", run, overrides=words)
model = polydiff.load(run)

n = range(min(8, model.domain.size("test")))
molecules = model.domain.batch("test", n, streams(0, "augment", n))  # or polydiff.read(model, "my.sdf")
scaffold = model.domain.region("[!#1]", molecules)  # all that is no hydrogen, by a SMARTS pattern; or numbers: 0,1,4-7
hydrogens = polydiff.inpaint(model, molecules, scaffold, resample=4)

more = "CH2"  # a carbon and two hydrogens; or a number of atoms: "3"
larger, known = model.domain.grown(molecules, scaffold, more, streams(0, "grown", n))
longer = polydiff.inpaint(model, larger, known, resample=4)

given = Samples(model.domain.decode(molecules.x, molecules.space))
for name, made in {"given": given, "hydrogens": hydrogens, "longer": longer}.items():
    written = model.domain.save(made, Path(run, "inpainted", name))
    print(f"{name}: {', '.join(one['smiles'] or one['formula'] + ' (no molecule)' for one in written)}")
print(f"The molecules are in {run}/inpainted")
