# syntax=docker/dockerfile:1
# The bridge, the proxy and the sandbox Engram are one program; EXTRAS says which of their packages are in the image:
#
#   docker build --tag engram-bridge .                                        run and serve, texts embedded by hashing
#   docker build --build-arg EXTRAS=serve,embeddings \
#       --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .   and by real models, without CUDA's gigabytes
ARG PYTHON_IMAGE=python:3.13.7-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=serve
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_CACHE_DIR=/var/cache/pip PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL}
WORKDIR /source
RUN python -m venv /opt/engram-bridge
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY bridge bridge
COPY cdc cdc
COPY snapshot snapshot
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/engram-bridge/bin/pip install ".[${EXTRAS}]" \
    && /opt/engram-bridge/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="engram-bridge" \
      org.opencontainers.image.description="Keeps an Engram server in step with a live PostgreSQL database, and proves it." \
      org.opencontainers.image.licenses="Apache-2.0"
# The number is written out where it is used: Kubernetes' runAsNonRoot believes no name.
RUN groupadd --system --gid 10001 bridge \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/engram-bridge --create-home --shell /usr/sbin/nologin bridge
COPY --from=build /opt/engram-bridge /opt/engram-bridge
# Safe path: no file in the working directory is ever imported in place of ours.
ENV PATH=/opt/engram-bridge/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/engram-bridge/models
USER 10001:10001
WORKDIR /var/lib/engram-bridge
VOLUME /var/lib/engram-bridge
EXPOSE 8432
# True of `serve`, the command below, without TLS of its own. Others bring a check of their own, as in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8432/livez', timeout=4)"]
ENTRYPOINT ["engram-bridge"]
CMD ["serve", "--config", "/etc/engram-bridge/bridge.yaml"]
