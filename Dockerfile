# `pusher run` as a container:
#   docker build --tag lambda-remote-write .
#   docker run --read-only --volume "$PWD/pusher.yaml:/etc/pusher/pusher.yaml:ro" --publish 127.0.0.1:9091:9091 lambda-remote-write

# A tag, because its digest changes with each security fix of the image. To pin one, name it when you build:
# --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements/run.txt requirements/
RUN python -m venv /opt/pusher \
  && /opt/pusher/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary=:all: -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY requirements/cli.in requirements/
COPY functions functions
COPY cli cli
RUN /opt/pusher/bin/pip install --no-cache-dir --no-deps --no-index --no-build-isolation .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="lambda-remote-write" \
  org.opencontainers.image.description="Sends metrics of JSON APIs and /metrics pages to Amazon Managed Service for Prometheus" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/pusher /opt/pusher
COPY LICENSE /usr/share/doc/lambda-remote-write/
ENV PATH=/opt/pusher/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# No name is needed for this user, and it owns nothing. The file system may be read-only.
USER 65532:65532
WORKDIR /etc/pusher
EXPOSE 9091
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", "from http.client import HTTPConnection as To; to = To('127.0.0.1', 9091, timeout=4); to.request('GET', '/-/healthy'); raise SystemExit(to.getresponse().status != 200)"]
ENTRYPOINT ["pusher"]
# Inside, all addresses: `docker run --publish` decides who reaches it.
CMD ["run", "/etc/pusher/pusher.yaml", "--web.listen-address", "0.0.0.0:9091"]
