"""llama.cpp's own API, which editors speak: infill, completion, and what they ask of a server."""
