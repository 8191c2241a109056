"""Reference implementation of SIFM (arXiv 2512.14320) and its baselines: produces the edits that ``isr`` judges.

It knows nothing of judges. ``sifm_ref.methods``, ``sifm_ref.editors`` and ``sifm_ref.purifiers`` hold one file for
each method, editor and purifier; ``immunizing`` and ``editing`` carry folders of images through them.
"""
