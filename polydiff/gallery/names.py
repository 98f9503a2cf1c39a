"""Names of the files of a set of samples. This module imports nothing, so that a server needs no torch."""

MANIFEST = "manifest.json"
"""Facts about all samples, and the file and the conditions of each."""
SHOW = "show.html"
"""The samples as HTML."""
FILM = "film.json"
"""The frames of a film, states on the way to one sample (`polydiff.serve.worker.draw`)."""
