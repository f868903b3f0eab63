"""Measures on conversations: who speaks when, is a voice there, and what is it that it says."""
