"""Agreement of raters: two or many, verdicts or grades, with intervals clustered on the image."""
