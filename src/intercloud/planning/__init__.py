"""Deciding: which strategy for which server, and when a gang switches over. Pure, no input or output."""
