"""Real Python source: a corpus on disk, holes in its files, and what is read around them."""
