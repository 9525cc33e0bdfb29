"""The methods of `PrecedentClient`, by subject; each class is one part of it."""
