"""Federated Adam with correction on digits, by Flower."""
