"""Whoever moves servers: Intercloud, and what people use instead, each set up as its own documentation says."""
