# One image for all roles: the command is the role, and its options. docs/kubernetes.md tells how it is built and run.
#
# Base images are named by version; BASE=debian@sha256:... names one by digest. What is installed with pip and npm is what
# constraints.txt and console/package-lock.json name.
ARG BASE=debian:12.11-slim

FROM ${BASE} AS console
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src/console
COPY console/package.json console/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY console ./
RUN npm run build

FROM ${BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Times in what is made: compiled modules go by the text of their source then, and are the same whenever they are made.
ENV SOURCE_DATE_EPOCH=1700000000
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --only-binary :all: --constraint constraints.txt pip hatchling \
    && python3 -m venv --without-pip /opt/lalmesh
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY lalmesh lalmesh
COPY services services
COPY --from=console /src/console/dist console/dist
# Wheels alone: a package that had to be compiled fails here, and needs no compiler.
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /build/bin/pip --python /opt/lalmesh/bin/python3 install --no-cache-dir --only-binary :all: --compile \
        --constraint constraints.txt dist/*.whl

FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 lalmesh \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/lalmesh --create-home --shell /usr/sbin/nologin lalmesh
COPY --from=build /opt/lalmesh /opt/lalmesh
ENV PATH=/opt/lalmesh/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/lalmesh
USER 10001:10001
VOLUME /var/lib/lalmesh
EXPOSE 1935 4935 5544 5322 5566 8080 4433 8081 4434 8083 50051 50052 50054 9090 20000-20999/udp
STOPSIGNAL SIGTERM
# Of the port of the metrics, where a variable does not say another.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"LALMESH_METRICS__PORT\", 9090)}/healthz', timeout=4)"]
ENTRYPOINT ["lalmesh"]
CMD ["standalone"]
