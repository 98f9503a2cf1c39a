"""Trackers: programs that show the curves and samples of runs, such as TensorBoard, beside a run's own metrics.jsonl.

`spec` describes a tracker, `tracker` is its interface, `session` calls those of a run. Each other module is one
tracker, which imports its library on use. Third parties add trackers by the entry-point group `polydiff.trackers`.
"""
