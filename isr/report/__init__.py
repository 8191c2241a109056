"""The report of finished runs: one self-contained HTML file, and the tables and sentences for a paper."""
