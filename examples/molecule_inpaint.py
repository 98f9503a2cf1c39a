"""Keep the scaffold of molecules, and grow fragments, with any trained model of molecules.

`python examples/molecule_inpaint.py [key=value ...]` trains for some minutes; `... RUN` uses an existing run.
"""

import sys
from pathlib import Path

import polydiff
from polydiff import streams
from polydiff.contract.domain import Samples

given_run, overrides = sys.argv[1:2], dict(arg.split("=", 1) for arg in sys.argv[1:] if "=" in arg)
run = Path(given_run[0]) if given_run and not overrides else Path("runs/example-molecule-inpaint")
if overrides or not given_run:
    polydiff.train("molecule", run, overrides=overrides)
model = polydiff.load(run)

n = range(min(8, model.domain.size("test")))
molecules = model.domain.batch("test", n, streams(0, "augment", n))  # or polydiff.read(model, "my.sdf")
scaffold = model.domain.region("[!#1]", molecules)  # all heavy atoms, by a SMARTS pattern; or numbers: 0,1,4-7
hydrogens = polydiff.inpaint(model, molecules, scaffold, resample=4)

more = "CH2"  # a carbon and two hydrogens; or a number of atoms, such as "3"
larger, known = model.domain.grown(molecules, scaffold, more, streams(0, "grown", n))
longer = polydiff.inpaint(model, larger, known, resample=4)

given = Samples(model.domain.decode(molecules.x, molecules.space))
for name, made in {"given": given, "hydrogens": hydrogens, "longer": longer}.items():
    written = model.domain.save(made, Path(run, "inpainted", name))
    print(f"{name}: {', '.join(one['smiles'] or one['formula'] + ' (no molecule)' for one in written)}")
print(f"The molecules are in {run}/inpainted")
