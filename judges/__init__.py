"""Judges: one file per backend (``.py``), one card per judge (``.toml``).

A backend is a module with a function ``open_judge(card) -> Judge`` that says by constants what it is (``FREE``,
``FILES``, ``SERVED_BY_NAME``, ``WRITES``; see ``isr.judging.backends``). It is found by its file's name here, or through the
entry point group ``isr.judge_backends`` of an installed package.
"""
