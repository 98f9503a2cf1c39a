"""What libsndfile does not check in the files that it reads: lengths in headers, and ends."""
