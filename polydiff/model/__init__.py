"""A trained model and what it makes: samples, edits and restorations."""
