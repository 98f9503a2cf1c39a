"""How long a training takes: the forecast and its display, the pace of steps, a budget of time."""
