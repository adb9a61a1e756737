"""Data in the middle: what was measured, calculated and concluded; frozen, and importing nothing of ours."""
