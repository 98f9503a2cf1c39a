"""Programs that are copied beside an exported network. They import numpy and onnxruntime, and nothing of polydiff."""
