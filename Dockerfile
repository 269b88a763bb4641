# syntax=docker/dockerfile:1
# The base image is pinned to a patch release and a Debian release. Where images are built for production, pin its digest
# as well: docker buildx imagetools inspect python:3.11.14-slim-bookworm
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The dependencies change seldom: a layer of their own. Every file is checked against the hashes of the lock.
COPY requirements.lock requirements-build.lock ./
RUN pip wheel --require-hashes --no-deps --wheel-dir /wheels --requirement requirements.lock \
 && pip install --require-hashes --no-deps --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY extsync extsync
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .
# The environment has no pip: nothing is installed into it later.
RUN python -m venv --without-pip /opt/extsync \
 && pip --python /opt/extsync/bin/python install --no-index --no-deps --compile /wheels/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="extsync" \
      org.opencontainers.image.description="Keeps Kubernetes service discovery true for backends that run outside the cluster" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/extsync /opt/extsync
# Nothing is written at run time, so that the root file system can be read-only.
ENV PATH=/opt/extsync/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
WORKDIR /
# For docker and podman; Kubernetes has probes of its own. It takes neither a shell nor curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9440/healthz', timeout=4)"]
ENTRYPOINT ["extsync"]
CMD ["--help"]
