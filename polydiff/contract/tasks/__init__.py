"""Tasks: unconditional generation, inpainting, and restoration from a degraded form.

A task defines conditions beside those of the data. They are computed from the clean state, in training and in use. If
they are missing, through condition dropout or because none are given, the same network generates whole examples.
"""

from polydiff.contract.tasks.enlarge import Enlarge as Enlarge
from polydiff.contract.tasks.enlarge import block_means as block_means
from polydiff.contract.tasks.enlarge import enlarged as enlarged
from polydiff.contract.tasks.enlarge import spread_blocks as spread_blocks
from polydiff.contract.tasks.inpaint import Inpaint as Inpaint
from polydiff.contract.tasks.inpaint import InpaintLetters as InpaintLetters
from polydiff.contract.tasks.inpaint import box as box
from polydiff.contract.tasks.inpaint import draw_mask as draw_mask
from polydiff.contract.tasks.inpaint import known as known
from polydiff.contract.tasks.task import Generate as Generate
from polydiff.contract.tasks.task import Observes as Observes
from polydiff.contract.tasks.task import Restoration as Restoration
from polydiff.contract.tasks.task import Task as Task
