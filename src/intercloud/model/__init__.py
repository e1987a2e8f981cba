"""Plain frozen values that every part shares. Nothing here does any input or output."""
