"""Gradients, checked: numeric derivatives that are exact, and what they say about the code under test."""
