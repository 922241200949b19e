"""Plotly figures: how they look (style), and one file for each subject."""
