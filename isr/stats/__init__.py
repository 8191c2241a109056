"""Intervals, tests and plans from arrays: numpy and scipy only, no file, no judge, no edit."""
