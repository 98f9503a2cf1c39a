"""The process that computes: what it is told and answers, how it starts and ends, and its jobs."""
