"""Bundles: everything a reviewer needs to recompute a run, written, opened, verified, judged anew."""
