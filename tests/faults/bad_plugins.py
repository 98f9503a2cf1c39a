"""Bad plugins: modules of a domain that fail at import, in their description, or while they are used."""

from __future__ import annotations

HEAD = "from polydiff.contract.spec import DomainSpec\n"
SPEC = 'SPEC = DomainSpec(name="bad", summary="s", config="{config}", factory="{factory}"{more})\n'
GOOD = HEAD + SPEC.format(config="ring:RingConfig", factory="bad_domain:Bad", more="")
"""A card without faults, of the domain in `bad_domain`."""

AT_IMPORT = {
    "missing module": "import nothing_of_this_name\n",
    "syntax": "def f(:\n",
    "odd bytes": "\udc80\udcff\n",
    "sys.exit": "import sys\nsys.exit(0)\n",
    "os._exit": "import os\nos._exit(0)\n",
    "os._exit 7": "import os\nos._exit(7)\n",
    "crash": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "abort": "import os\nos.abort()\n",
    "KeyboardInterrupt": "raise KeyboardInterrupt\n",
    "own exception": "class Odd(BaseException): pass\nraise Odd('odd')\n",
    "sleep": "import time\ntime.sleep(600)\n",
    "closes stdout": "import os\nos.close(1)\nos.close(2)\nraise ImportError('no output')\n",
    "replaces stdout": "import sys\nsys.stdout = sys.stderr = None\nraise ImportError('no output')\n",
    "recursion": "def f(): return f()\nf()\n",
    "no card": "OTHER = 3\n",
    "card of another type": "SPEC = 3\n",
    "card of another version": HEAD + SPEC.format(config="a:b", factory="a:b", more=", api=99"),
    "card with unknown keys": HEAD + SPEC.format(config="a:b", factory="a:b", more=", colour=3"),
    "card with odd types": HEAD + SPEC.format(config="a:b", factory="a:b", more=", requires=3, presets=[]"),
    "card of another name": HEAD + SPEC.format(config="a:b", factory="a:b", more="").replace('"bad"', '"other"'),
    "card that raises": HEAD + "class Odd(DomainSpec):\n    @property\n    def api(self): raise RuntimeError('no')\n"
    + SPEC.format(config="a:b", factory="a:b", more="").replace("DomainSpec(", "Odd("),
}  # fmt: skip
"""What it does -> source of the module that holds the card."""

HEADER = "import torch\nfrom ring_domain import Ring\n\nclass Bad(Ring):\n"


def method(head: str, *lines: str) -> str:
    """Return the source of a domain that differs from a right one in one method."""
    return HEADER + f"    def {head}:\n" + "".join(f"        {line}\n" for line in lines)


BATCH = "batch(self, split, indices, generators)"
RIGHT = "right = super().batch(split, indices, generators)"
INIT, INITIAL = "__init__(self, *a, **k)", "super().__init__(*a, **k)"
IN_USE = {
    "no class": "Bad = 3\n",
    "factory returns None": "def Bad(config, statistics=None): return None\n",
    "factory exits": "import sys\ndef Bad(config, statistics=None): sys.exit(0)\n",
    "import of the factory": "1 / 0\n",
    "init raises": method(INIT, "raise ValueError('no data')"),
    "batch raises": method(BATCH, "raise ValueError('no batch')"),
    "batch exits": method(BATCH, "raise SystemExit(0)"),
    "batch returns None": method(BATCH, "return None"),
    "batch of another number": method(BATCH, RIGHT, "return right._replace(x=torch.zeros(len(indices) + 1, 2))"),
    "batch of NaN": method(BATCH, RIGHT, "return right._replace(x=right.x * float('nan'))"),
    "batch of integers": method(BATCH, RIGHT, "return right._replace(x=right.x.long())"),
    "size of text": method("size(self, split)", "return 'many'"),
    "size below 0": method("size(self, split)", "return -3"),
    "no examples": method("size(self, split)", "return 0"),
    "statistics of NaN": method(INIT, INITIAL, "self.statistics = {'scale': float('nan')}"),
    "statistics that are no JSON": method(INIT, INITIAL, "self.statistics = {'scale': 1.0, 'x': {1, 2}}"),
    "network of another shape": method("backbone(self)", "return torch.nn.Linear(2, 2)"),
    "network is None": method("backbone(self)", "return None"),
    "decode raises": method("decode(self, x, space)", "raise ValueError('no decoding')"),
    "save raises": method("save(self, samples, folder)", "raise OSError(28, 'No space left on device')"),
    "show of a number": method("show(self, samples)", "return 3"),
    "evaluate raises": method("evaluate(self, samples)", "raise ValueError('no judge')"),
}
"""What it does -> source of the module `bad_domain`, whose card has no fault."""
