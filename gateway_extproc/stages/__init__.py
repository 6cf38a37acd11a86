"""The pipeline's stages, one a file, both directions in one place.

A stage reads the snapshot it was made with and the exchange, and returns a
verdict.  Stores, dialects, guards and the clock come in as arguments; stages never
import each other, except for the shared ``attempt`` helper.
"""
