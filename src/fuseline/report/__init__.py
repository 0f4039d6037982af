"""Figures as rows, and rows as text. Renderers compute nothing."""
