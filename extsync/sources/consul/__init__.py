"""Instances of services that are registered in Consul, and what Consul's own checks say of them."""

from extsync.sources.consul.source import ConsulConfig, ConsulSource

__all__ = ["ConsulConfig", "ConsulSource"]
