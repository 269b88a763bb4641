"""Connections from inside of the cluster, by a small script that runs in a pod which is there anyway.

It changes nothing: it resolves a name, and connects and hangs up, with whatever the container has for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from extsync.doctor.checks.dns import dns_name
from extsync.doctor.checks.pods import is_pod_ready
from extsync.doctor.checks.view import is_headless, is_ready, service_of, shown, slices_of
from extsync.doctor.facts import Attempt, ClusterFacts, Inside, Seen, ServiceFacts, Unread
from extsync.doctor.gathering.asking import Asking
from extsync.doctor.gathering.rights import asked
from extsync.doctor.kinds import Pod
from extsync.errors import NotFound
from extsync.kube.enquiries import Enquiries, Right
from extsync.kube.remote_command import Executed, execute
from extsync.objects import Service

MOST: Final = 4
"""Connections to the Service, and as many to its endpoints."""

WAIT: Final = 3
"""Seconds that each may take in the pod."""

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""The annotation of pods by which kubectl chooses a container, too."""

SCRIPT: Final = r"""
name=$1; domain=; default=$2; wait=$3; shift 3
tool=
for one in bash python3 nc curl; do
  if command -v "$one" >/dev/null 2>&1; then tool=$one; break; fi
done
limit=
if command -v timeout >/dev/null 2>&1; then limit="timeout $wait"; fi
if [ "$tool" = bash ] && [ -z "$limit" ]; then tool=; fi
echo "tool $tool"
while read -r key rest; do
  if [ "$key" = search ]; then
    for one in $rest; do case $one in svc.*) domain=${domain:-${one#svc.}} ;; esac; done
  fi
done </etc/resolv.conf
if [ -n "$domain" ]; then echo "domain $domain"; fi
domain=${domain:-$default}
name=$name${domain:+.$domain}
if command -v getent >/dev/null 2>&1; then
  echo resolver
  for one in $(getent ahosts "$name" | cut -d" " -f1 | sort -u); do echo "address $one"; done
elif [ "$tool" = python3 ]; then
  echo resolver
  python3 -c 'import socket, sys
try:
    print("\n".join("address " + one for one in sorted({f[4][0] for f in socket.getaddrinfo(sys.argv[1], 1)})))
except OSError:
    pass' "$name"
elif command -v nslookup >/dev/null 2>&1; then
  echo resolver
  nslookup "$name" 2>/dev/null | while read -r key value rest; do
    if [ "$key" = Name: ]; then seen=1; fi
    if [ -n "$seen" ] && [ "${key%%:*}" = Address ]; then echo "address ${rest:-$value}"; fi
  done
fi
[ -n "$tool" ] || exit 0
while [ $# -ge 2 ]; do
  case $tool in
    bash) said=$($limit bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1) ;;
    python3) said=$(python3 -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
except OSError as error:
    sys.exit(str(error))' "$1" "$2" "$wait" 2>&1) ;;
    nc) said=$(nc -z -w "$wait" "$1" "$2" 2>&1 </dev/null)
      status=$?
      case $said in # small builds of busybox have no -z, and -e in its place
        *option*) said=$(nc -w "$wait" "$1" "$2" -e true 2>&1 </dev/null) ;;
        *) (exit $status) ;;
      esac ;;
    curl) said=$(curl -s -o /dev/null -m "$wait" -w '%{time_connect}' "telnet://$1:$2" </dev/null 2>/dev/null) ;;
  esac
  status=$?
  if [ "$tool" = curl ]; then
    case $said in *[1-9]*) status=0 ;; *) status=7; said= ;; esac
  fi
  if [ "$status" = 0 ]; then echo "connected $1 $2"
  elif [ "$status" = 124 ]; then echo "failed $1 $2 no answer within $wait s"
  else echo "failed $1 $2 $(echo "$said" | tail -n 1)"; fi
  shift 2
done
"""
"""For any POSIX shell. What it prints is read by ``understood``; nothing of it needs to be quoted."""


async def look_inside(
    asking: Asking, enquiries: Enquiries, facts: ServiceFacts, cluster: ClusterFacts, *, wanted: str
) -> Seen[Inside | None]:
    """Tries connections from the pod named ``wanted``, or "": from any that runs in the Service's namespace."""
    service = service_of(facts)
    if service is None:
        return None
    pod = await _pod(asking, facts, wanted)
    if isinstance(pod, Unread):
        return pod
    namespace, name = pod.key

    allowed = await asked(asking, lambda timeout: enquiries.may(_exec(pod), timeout=timeout))
    if isinstance(allowed, Unread):
        return allowed
    if not allowed.allowed:
        return Unread(f"you may not exec in pod {namespace}/{name}", forbidden=True)
    through, direct = [*_through(service)][:MOST], [*_direct(facts)][:MOST]
    seconds = 15.0 + (len(through) + len(direct)) * (WAIT + 1)
    places = [word for place in (*through, *direct) for word in place]
    command = ["sh", "-c", SCRIPT, "extsync-doctor", *_name(facts, cluster), str(WAIT), *places]
    container = pod.annotations.get(DEFAULT_CONTAINER) or (pod.spec.containers[0].name if pod.spec.containers else "")

    async def run(*, timeout: float) -> Executed:
        return await execute(
            enquiries.transport, namespace, name, container, command, timeout=min(seconds, asking.left)
        )

    try:
        done = await asking.ask(run)
    except NotFound as error:
        return Unread(str(error))
    if isinstance(done, Unread):
        return done
    if done.failure and not done.stdout:
        return Unread(f"container {container} of pod {name} has no shell, or it failed: {done.failure}")
    return understood(done.stdout, pod=name, container=container, through=len(through))


def _name(facts: ServiceFacts, cluster: ClusterFacts) -> tuple[str, str]:
    """The Service's name without the domain, and the domain where the pod knows of none."""
    name = f"{facts.key.name}.{facts.key.namespace}.svc"
    return name, dns_name(facts, cluster).removeprefix(f"{name}.")


def _exec(pod: Pod) -> Right:
    return Right("create", "pods/exec", "", *pod.key)


async def _pod(asking: Asking, facts: ServiceFacts, wanted: str) -> Seen[Pod]:
    """The pod to look from: one whose program does not serve the Service is as good as any."""
    namespace = facts.key.namespace
    if wanted:
        space, _, name = wanted.rpartition("/")
        found = await asking.get(Pod, space or namespace, name)
        return Unread(f"there is no pod {space or namespace}/{name}") if found is None else found
    pods = await asking.list(Pod, namespace=namespace)
    if isinstance(pods, Unread):
        return pods
    usable = [pod for pod in pods if is_pod_ready(pod) and pod.spec.containers]
    if not usable:
        return Unread(f"no pod is ready in {namespace}; name one with --from-pod NAMESPACE/POD")
    return min(usable, key=lambda pod: pod.metadata.name)


def _through(service: Service) -> Iterable[tuple[str, str]]:
    if is_headless(service) or not service.spec.cluster_ip:
        return
    for port in service.spec.ports or ():
        if (port.protocol or "TCP") == "TCP":
            yield service.spec.cluster_ip, str(port.port)


def _direct(facts: ServiceFacts) -> Iterable[tuple[str, str]]:
    found = (one for one in shown(slices_of(facts)) if is_ready(one.endpoint) and one.port.protocol == "TCP")
    yield from dict.fromkeys((one.address, str(one.number)) for one in found)


def understood(said: str, *, pod: str, container: str, through: int) -> Inside:
    """What the script printed; the first ``through`` connections are those to the Service."""
    tool, domain = "", ""
    resolved: list[str] | None = None
    attempts: list[Attempt] = []
    for line in said.splitlines():
        match line.split(" "):
            case ["tool", one]:
                tool = one
            case ["domain", one]:
                domain = domain or one
            case ["resolver"]:
                resolved = []
            case ["address", one, *_] if resolved is not None:
                resolved.append(one.partition("#")[0])
            case ["connected", address, port] if port.isdigit():
                attempts.append(Attempt(address, int(port)))
            case ["failed", address, port, *words] if port.isdigit():
                attempts.append(Attempt(address, int(port), failure=" ".join(words).strip() or "it was not made"))
    return Inside(
        pod=pod,
        container=container,
        tool=tool,
        domain=domain,
        resolved=None if resolved is None else tuple(dict.fromkeys(resolved)),
        through=tuple(attempts[:through]),
        direct=tuple(attempts[through:]),
    )
