"""Editors: one file each, found by its name, with a class ``Adapter`` made from a loaded diffusers pipeline."""
