"""The in-memory store: an API server, its etcd and the few controllers that matter to extsync, in this process.

For the demonstration, for tests and for simulations in virtual time. It answers as Kubernetes 1.36 does; one suite of
behaviour tests and random sequences of operations, run against both, hold it to that (``tests/contract``).
"""

from extsync.kube.memory.store import Fault, Faults, MemoryStore

__all__ = ["Fault", "Faults", "MemoryStore"]
