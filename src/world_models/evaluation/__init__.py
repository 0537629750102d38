"""Returns become statistics, tables, figures and videos."""
