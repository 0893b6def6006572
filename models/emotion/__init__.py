"""Emotion from a face: its picture, its landmarks, and both fused (paper 004)."""
