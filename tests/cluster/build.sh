#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager and kubectl at the versions of go.mod into the folder TARGET.
#   build.sh TARGET      what is there already is left as it is
# Needs the Go version that go.mod names. On two cores: 5 to 10 minutes from nothing and 4 GB of Go caches, less than
# a minute with them. `python -m tests.cluster.assets build` calls it with the right folder and under a lock.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:?usage: build.sh TARGET}
mkdir -p "$target"
target=$(cd "$target" && pwd)

version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$here/go.mod")   # v1.36.3
IFS=. read -r major minor _ <<<"${version#v}"
package=k8s.io/component-base/version
stamp="-X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"

build() {  # name, Go package
  [ -x "$target/$1" ] && return
  echo "building $1" >&2
  (cd "$here" && CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -mod=readonly" \
    go build -trimpath -buildvcs=false -ldflags "-s -w $stamp" -o "$target/.$1.$$" "$2")
  mv "$target/.$1.$$" "$target/$1"   # whole or not at all
}

build etcd go.etcd.io/etcd/server/v3
for name in kube-apiserver kube-controller-manager kubectl; do
  build "$name" "k8s.io/kubernetes/cmd/$name"
done
