"""Multimodal triplet classifier (paper 000)."""
