"""The command `import-chroma`: publish the items of an old Chroma directory as events."""
