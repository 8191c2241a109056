"""Attacks on a protection: one file each, found by its name, with a function of that name and its defaults.

``purifier(image, *, seed, editor, **parameters) -> image`` on 8-bit RGB pictures; ``editor`` is the one that edits
afterwards, for purifiers that borrow its parts.
"""
