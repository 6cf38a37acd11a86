"""Envoy configuration from the gateway's: rendered, and checked for its types.

Pure: returns documents and texts.  Every choice that Envoy's behaviour forces
carries its reason; the traps are described in docs/envoy.md.
"""
