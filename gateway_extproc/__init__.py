"""An enterprise AI gateway as an Envoy external-processing sidecar."""

__version__ = "0.1.0"
