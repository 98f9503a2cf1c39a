"""The process that computes: what it receives and answers, how it starts and ends, and its jobs."""
