"""One module a view: a function that computes it and a function that draws it."""
