"""How molecules are judged: each molecule by itself, then the whole set."""
