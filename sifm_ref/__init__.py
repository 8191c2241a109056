"""Reference implementation of SIFM (arXiv 2512.14320) and its baselines: produces the edits that ``isr`` judges.

It knows nothing of judges. Its methods, editors and purifiers are not part of this version yet.
"""
