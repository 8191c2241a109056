"""Calibration against people: agreement, correction, aggregation, comparison, planning.

One module per topic; each works on arrays and returns frozen results. Nothing here reads or writes files.
"""
