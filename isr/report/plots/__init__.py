"""Figures for a paper as SVG, PDF and PNG, drawn by matplotlib without a browser: one module for each figure."""
