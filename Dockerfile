# Builds with `docker build -t signalbox-gateway .`; docker-compose.yml shows it at work, docs/operations.md explains it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# `clouds` adds the extras: what looks for logins at AWS, Google Cloud and Azure beyond the configuration, and what
# verifies tokens of an identity provider.
ARG REQUIREMENTS=base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/${REQUIREMENTS}.txt requirements/build.txt requirements/
# The build tools and pip itself stay behind in /build; what runs is /opt/signalbox alone.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/signalbox \
 && /build/bin/pip install --require-hashes -r requirements/build.txt \
 && /build/bin/pip --python /opt/signalbox/bin/python install --require-hashes -r "requirements/${REQUIREMENTS}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /build/bin/pip --python /opt/signalbox/bin/python install --no-deps --no-index /dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Signalbox" \
      org.opencontainers.image.description="An OpenAI-compatible LLM gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/signalbox/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The one place that is written to: the journal, and the ledger that keeps what budgets have spent over a crash.
RUN install -d -o 10001 -g 10001 /var/lib/signalbox
COPY --from=build /opt/signalbox /opt/signalbox
USER 10001:10001
WORKDIR /var/lib/signalbox
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/opt/signalbox/bin/python", "-I", "-S", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["/opt/signalbox/bin/signalbox"]
CMD ["run", "--config", "/etc/signalbox/gateway.yaml"]
