"""Figures held against the truth: the seed document's own accounting, reproduced and corrected."""
