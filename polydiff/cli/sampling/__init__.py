"""The verbs that draw new samples: as files, and as data sets."""
