"""Batch plans: which rows, in which query and passage language, at which step. Needs numpy only."""
