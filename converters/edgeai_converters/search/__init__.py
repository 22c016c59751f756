"""Candidates, budgets and the Pareto front."""
