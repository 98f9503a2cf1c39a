"""Models as folders that can be given away: exporting them, with a model card, and sending them to the hub."""
