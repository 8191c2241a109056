"""Asking judges: rubrics, cards, requests, the store, the loop, and what an answer says."""
