"""Measure, explain and train over-parameterized PyTorch models."""
