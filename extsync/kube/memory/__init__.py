"""The in-memory store: an API server, its etcd and the few controllers that matter to extsync, in this process.

For the demonstration, for tests and for simulations in virtual time. It answers as Kubernetes 1.36 does; one suite of
behaviour tests and random sequences of operations, run against both, hold it to that (``tests/contract``).

Where it is known to differ:

- There are no managedFields to be read; who owns which field of a Service is kept all the same.
- A field that Kubernetes itself does not know is kept, where a real server drops it.
- Of Services, fields that extsync never applies are not validated (load balancer class and source ranges, external
  IPs). A Service that becomes an ExternalName forgets its internalTrafficPolicy, which a real server hides and keeps.
- Pods, Nodes and ServiceCIDRs are taken as they are given. Events are kept for ever.
- Nothing makes endpoints or slices for a Service with a selector, and nothing deletes in the foreground.
"""

from extsync.kube.memory.faults import Fault, Faults, Served
from extsync.kube.memory.store import MemoryStore

__all__ = ["Fault", "Faults", "MemoryStore", "Served"]
