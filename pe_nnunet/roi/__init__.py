"""The lungs, the box around them, and the way into that box and back."""
