"""Findings to people: incidents, budgets, webhooks."""
