"""`isr score` beside other tools on the same pairs, against one local server. See ``run``."""
