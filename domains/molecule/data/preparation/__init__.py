"""How molecules are prepared: the work on each, its drafts while it lasts, and the cache of what is ready."""
