"""extsync keeps Kubernetes service discovery true for backends that run outside the cluster."""

__version__ = "0.1.0"
