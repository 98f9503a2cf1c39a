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

DOMAIN = "import torch\nfrom ring_domain import Ring\n\nclass Bad(Ring):\n"
IN_USE = {
    "no class": "import torch\nBad = 3\n",
    "factory returns None": "def Bad(config, statistics=None): return None\n",
    "factory exits": "import sys\ndef Bad(config, statistics=None): sys.exit(0)\n",
    "import of the factory": "1 / 0\n",
    "init raises": DOMAIN + "    def __init__(self, *a, **k): raise ValueError('no data')\n",
    "batch raises": DOMAIN + "    def batch(self, *a): raise ValueError('no batch')\n",
    "batch exits": DOMAIN + "    def batch(self, *a): raise SystemExit(0)\n",
    "batch returns None": DOMAIN + "    def batch(self, *a): return None\n",
    "batch of another number": DOMAIN + "    def batch(self, s, i, g): return super().batch(s, list(i)[1:] or i, g)._replace(x=torch.zeros(1, 2))\n",
    "batch of NaN": DOMAIN + "    def batch(self, s, i, g):\n        b = super().batch(s, i, g)\n        return b._replace(x=b.x * float('nan'))\n",
    "batch of integers": DOMAIN + "    def batch(self, s, i, g):\n        b = super().batch(s, i, g)\n        return b._replace(x=b.x.long())\n",
    "size of text": DOMAIN + "    def size(self, split): return 'many'\n",
    "size below 0": DOMAIN + "    def size(self, split): return -3\n",
    "no examples": DOMAIN + "    def size(self, split): return 0\n",
    "statistics of NaN": DOMAIN + "    def __init__(self, *a, **k):\n        super().__init__(*a, **k)\n        self.statistics = {'scale': float('nan')}\n",
    "statistics that are no JSON": DOMAIN + "    def __init__(self, *a, **k):\n        super().__init__(*a, **k)\n        self.statistics = {'scale': 1.0, 'x': {1, 2}}\n",
    "network of another shape": DOMAIN + "    def backbone(self): return torch.nn.Linear(2, 2)\n",
    "network is None": DOMAIN + "    def backbone(self): return None\n",
    "decode raises": DOMAIN + "    def decode(self, x, space): raise ValueError('no decoding')\n",
    "save raises": DOMAIN + "    def save(self, samples, directory): raise OSError(28, 'No space left on device')\n",
    "show of a number": DOMAIN + "    def show(self, samples): return 3\n",
    "evaluate raises": DOMAIN + "    def evaluate(self, samples): raise ValueError('no judge')\n",
}  # fmt: skip
"""What it does -> source of the module `bad_domain`, whose card has no fault."""
