"""Protections: one file each, found by its name. A method is one function

``method(editor, scene, *, budget, config, noise, callback) -> Immunized``

in a file of its name, beside a frozen dataclass ``Config`` and a dictionary ``PRESETS`` whose first entry is the default. What it optimises goes through ``sifm_ref.attack``. A function ``adaptation(editor, config) -> str`` says what in it is ours, where its authors did otherwise: it is a column of the metadata.
"""
