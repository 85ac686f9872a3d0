"""Histories: rows are written and read through the proxy while everything around it fails, and every answer is judged."""
